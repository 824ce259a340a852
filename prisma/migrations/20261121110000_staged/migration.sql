-- What the record process commits by a leaf of its log: which state counts, which rows are shown.
-- Credentials are inside the states from here on, so the columns for them go. States without a root
-- are of no released version, and a database that has some is refused here.

-- DropForeignKey
ALTER TABLE "exchange_connections" DROP CONSTRAINT "exchange_connections_key_id_fkey";

-- AlterTable
ALTER TABLE "exchange_connections" DROP COLUMN "credentials",
DROP COLUMN "key_id",
DROP COLUMN "nonce";

-- The check went with the columns that it named.
ALTER TABLE "exchange_connections" DROP CONSTRAINT IF EXISTS "exchange_connections_shape";
ALTER TABLE "exchange_connections"
  ADD CONSTRAINT "exchange_connections_shape" CHECK (
    "account" <> '' AND "environment" IN ('live', 'paper', 'test')
  );

-- AlterTable
ALTER TABLE "account_states" ADD COLUMN     "root" BYTEA NOT NULL;

-- CreateTable
CREATE TABLE "logged_states" (
    "origin" VARCHAR(255) NOT NULL,
    "leaf_index" BIGINT NOT NULL,
    "account" VARCHAR(64) NOT NULL,
    "version" BIGINT NOT NULL,

    CONSTRAINT "logged_states_pkey" PRIMARY KEY ("origin","leaf_index")
);

-- CreateTable
CREATE TABLE "staged_returns" (
    "account" VARCHAR(64) NOT NULL,
    "root" BYTEA NOT NULL,
    "rows" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "staged_returns_pkey" PRIMARY KEY ("account")
);

-- CreateIndex
CREATE INDEX "logged_states_account_version_idx" ON "logged_states"("account", "version");

-- CreateIndex
CREATE INDEX "account_states_root_idx" ON "account_states"("root");

-- AddForeignKey
ALTER TABLE "staged_returns" ADD CONSTRAINT "staged_returns_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- Shapes.
ALTER TABLE "account_states" ADD CONSTRAINT "account_states_root" CHECK (octet_length("root") = 32);
ALTER TABLE "staged_returns"
  ADD CONSTRAINT "staged_returns_shape" CHECK (
    octet_length("root") = 32 AND octet_length("rows") <= 67108864
  );
ALTER TABLE "logged_states"
  ADD CONSTRAINT "logged_states_shape" CHECK ("leaf_index" >= 0 AND "version" >= 0);

-- A state that counts is never removed for newer ones that do not, however many those are.
CREATE OR REPLACE FUNCTION "keep_newest_states"() RETURNS trigger LANGUAGE plpgsql AS E'
BEGIN
  IF OLD."version" > (SELECT max("version") - 16 FROM "account_states" WHERE "account" = OLD."account")
    OR OLD."version" >= (SELECT max("version") FROM "logged_states" WHERE "account" = OLD."account") THEN
    RAISE EXCEPTION ''the newest 16 states of an account are kept, and from the newest logged one on''
      USING ERRCODE = ''object_not_in_prerequisite_state''\x3B
  END IF\x3B
  RETURN OLD\x3B
END';
CREATE TRIGGER "append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "logged_states"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_change"();

-- Whoever waits or was killed in between may stage anew. Readers see neither table.
REVOKE ALL ON "logged_states", "staged_returns" FROM PUBLIC;
GRANT SELECT, INSERT ON "logged_states" TO "strongroom_enclave";
GRANT SELECT, INSERT, UPDATE, DELETE ON "staged_returns" TO "strongroom_enclave";
