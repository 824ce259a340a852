-- What Prisma's schema cannot say: shapes, append-only tables, one live job of a kind per account,
-- who may do what, and which rows a reader sees. The roles exist already (`strongroom db init`).
-- Prisma with node-postgres cuts a script at every semicolon, wherever it stands, so none may stand in
-- a comment or a body: in the bodies below it is written \x3B.

-- Shapes. Names that readers are limited by must fit a list with commas, and '*' means all.
ALTER TABLE "users" ADD CONSTRAINT "users_id_shape" CHECK ("id" ~ '^[A-Za-z0-9._@-]{1,64}$');
ALTER TABLE "data_encryption_keys"
  ADD CONSTRAINT "data_encryption_keys_shape" CHECK (octet_length("id") = 16 AND octet_length("wrapped") BETWEEN 32 AND 4096);
ALTER TABLE "exchange_connections"
  ADD CONSTRAINT "exchange_connections_shape" CHECK (
    "account" <> '' AND "environment" IN ('live', 'paper', 'test')
    AND octet_length("nonce") = 12 AND octet_length("credentials") BETWEEN 16 AND 65536
  );
ALTER TABLE "trades"
  ADD CONSTRAINT "trades_shape" CHECK (
    "sequence" >= 0 AND octet_length("row_id") = 32
    AND octet_length("nonce") = 12 AND octet_length("ciphertext") BETWEEN 16 AND 65536
  );
ALTER TABLE "cash_flows"
  ADD CONSTRAINT "cash_flows_shape" CHECK (
    "sequence" >= 0 AND octet_length("row_id") = 32
    AND octet_length("nonce") = 12 AND octet_length("ciphertext") BETWEEN 16 AND 65536
  );
ALTER TABLE "account_states"
  ADD CONSTRAINT "account_states_shape" CHECK (
    "version" >= 0 AND octet_length("nonce") = 12 AND octet_length("ciphertext") BETWEEN 16 AND 67108864
  );
-- A numeric column takes NaN. A NULL passes each of these comparisons.
ALTER TABLE "hourly_returns"
  ADD CONSTRAINT "hourly_returns_shape" CHECK (
    "start_ms" >= 0 AND "start_ms" % 3600000 = 0 AND "hours" >= 1 AND "flags" >= 0
    AND "trades" >= 0 AND "mark_age_ms" >= 0 AND "position" >= 0 AND "leaf_index" >= 0
    AND "environment" IN ('live', 'paper', 'test')
  ),
  ADD CONSTRAINT "hourly_returns_numbers" CHECK (
    "value" >= -1 AND "value" <> 'NaN' AND "closing" <> 'NaN' AND "opening" <> 'NaN'
    AND "flows" <> 'NaN' AND "pnl" <> 'NaN' AND "realised" <> 'NaN' AND "unrealised" <> 'NaN'
    AND "fees" <> 'NaN' AND "funding" <> 'NaN'
  );
ALTER TABLE "balance_snapshots"
  ADD CONSTRAINT "balance_snapshots_shape" CHECK (
    "at_ms" >= 0 AND "at_ms" % 3600000 = 0 AND "equity" <> 'NaN' AND "leaf_index" >= 0
  );
ALTER TABLE "sync_jobs"
  ADD CONSTRAINT "sync_jobs_shape" CHECK (
    ("state" = 'LEASED') = ("worker" IS NOT NULL AND "leased_until" IS NOT NULL)
    AND ("state" IN ('DONE', 'DEAD')) = ("finished_at" IS NOT NULL)
    AND ("again" IS NULL OR "state" = 'LEASED') AND "attempts" >= 0 AND "lease" >= 0
  );
ALTER TABLE "sync_statuses"
  ADD CONSTRAINT "sync_statuses_shape" CHECK ("every_seconds" >= 1 AND "failures" >= 0);
ALTER TABLE "log_leaves" ADD CONSTRAINT "log_leaves_shape" CHECK ("index" >= 0);
ALTER TABLE "log_heads" ADD CONSTRAINT "log_heads_shape" CHECK ("size" >= 0);

-- One job per account that waits or is worked on, so one worker per account, whatever workers believe.
CREATE UNIQUE INDEX "sync_jobs_one_live" ON "sync_jobs" ("account") WHERE "state" IN ('QUEUED', 'LEASED');
CREATE INDEX "sync_jobs_next" ON "sync_jobs" ("priority" DESC, "run_after", "id") WHERE "state" = 'QUEUED';
CREATE INDEX "sync_jobs_expiring" ON "sync_jobs" ("leased_until") WHERE "state" = 'LEASED';

-- Append-only, for their owner too. (A superuser is stopped by nothing. What he changes, the receipts
-- in the enclave's log give away.)
CREATE FUNCTION "refuse_change"() RETURNS trigger LANGUAGE plpgsql AS E'
BEGIN
  RAISE EXCEPTION ''% is append-only'', TG_TABLE_NAME
    USING ERRCODE = ''object_not_in_prerequisite_state''\x3B
END';
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "trades"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "cash_flows"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "hourly_returns"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "balance_snapshots"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "log_leaves"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "log_heads"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();
-- States are large, and there is one per synchronisation: old ones may go, the newest never.
CREATE FUNCTION "keep_newest_states"() RETURNS trigger LANGUAGE plpgsql AS E'
BEGIN
  IF OLD."version" > (SELECT max("version") - 16 FROM "account_states" WHERE "account" = OLD."account") THEN
    RAISE EXCEPTION ''the newest 16 states of an account are kept''
      USING ERRCODE = ''object_not_in_prerequisite_state''\x3B
  END IF\x3B
  RETURN OLD\x3B
END';
CREATE TRIGGER "keep_newest" BEFORE DELETE ON "account_states"
  FOR EACH ROW EXECUTE FUNCTION "keep_newest_states"();
CREATE TRIGGER "append_only" BEFORE UPDATE OR TRUNCATE ON "account_states"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();

-- Roles: nothing is anybody's unless it says so here.
REVOKE ALL ON ALL TABLES IN SCHEMA "public" FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA "public" FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "public" FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT SELECT, INSERT ON
  "users", "trades", "cash_flows", "hourly_returns", "balance_snapshots", "log_leaves", "log_heads"
  TO "strongroom_enclave";
GRANT SELECT, INSERT, DELETE ON "account_states" TO "strongroom_enclave";
GRANT SELECT, INSERT, UPDATE, DELETE ON "sync_jobs" TO "strongroom_enclave";
GRANT SELECT, INSERT, UPDATE ON
  "exchange_connections", "data_encryption_keys", "sync_statuses"
  TO "strongroom_enclave";
GRANT USAGE ON SEQUENCE "sync_jobs_id_seq" TO "strongroom_enclave";
GRANT SELECT ON "hourly_returns", "balance_snapshots" TO "strongroom_gateway";

-- Rows. A gateway sees the users that its transaction names ('*' for all, nobody when it names none),
-- and a reader's own role below it no others than reader_limits has for it: that holds whatever the
-- gateway is made to say.
CREATE FUNCTION "limited_users"() RETURNS SETOF varchar
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT "user_id" FROM "public"."reader_limits" WHERE "role" = session_user
$$;
REVOKE ALL ON FUNCTION "limited_users"() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "limited_users"() TO "strongroom_gateway";
ALTER TABLE "hourly_returns" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "balance_snapshots" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY "written" ON "hourly_returns" TO "strongroom_enclave" USING (true) WITH CHECK (true);
CREATE POLICY "written" ON "balance_snapshots" TO "strongroom_enclave" USING (true) WITH CHECK (true);
CREATE POLICY "readers" ON "hourly_returns" FOR SELECT TO "strongroom_gateway" USING (
  (session_user = 'strongroom_gateway' OR "user_id" IN (SELECT "limited_users"()))
  AND (
    current_setting('strongroom.users', true) = '*'
    OR "user_id" = ANY (string_to_array(current_setting('strongroom.users', true), ','))
  )
);
CREATE POLICY "readers" ON "balance_snapshots" FOR SELECT TO "strongroom_gateway" USING (
  (session_user = 'strongroom_gateway' OR "user_id" IN (SELECT "limited_users"()))
  AND (
    current_setting('strongroom.users', true) = '*'
    OR "user_id" = ANY (string_to_array(current_setting('strongroom.users', true), ','))
  )
);
