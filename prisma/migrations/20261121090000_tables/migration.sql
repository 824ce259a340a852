-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateEnum
CREATE TYPE "job_state" AS ENUM ('QUEUED', 'LEASED', 'DONE', 'DEAD');

-- CreateEnum
CREATE TYPE "job_kind" AS ENUM ('FULL', 'INCREMENTAL');

-- CreateTable
CREATE TABLE "users" (
    "id" VARCHAR(64) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "exchange_connections" (
    "account" VARCHAR(64) NOT NULL,
    "user_id" VARCHAR(64) NOT NULL,
    "venue" VARCHAR(32) NOT NULL,
    "environment" VARCHAR(8) NOT NULL,
    "key_id" BYTEA NOT NULL,
    "nonce" BYTEA NOT NULL,
    "credentials" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "exchange_connections_pkey" PRIMARY KEY ("account")
);

-- CreateTable
CREATE TABLE "data_encryption_keys" (
    "id" BYTEA NOT NULL,
    "user_id" VARCHAR(64) NOT NULL,
    "wrapped" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retired_at" TIMESTAMPTZ(3),

    CONSTRAINT "data_encryption_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "trades" (
    "account" VARCHAR(64) NOT NULL,
    "sequence" BIGINT NOT NULL,
    "row_id" BYTEA NOT NULL,
    "key_id" BYTEA NOT NULL,
    "nonce" BYTEA NOT NULL,
    "ciphertext" BYTEA NOT NULL,

    CONSTRAINT "trades_pkey" PRIMARY KEY ("account","sequence")
);

-- CreateTable
CREATE TABLE "cash_flows" (
    "account" VARCHAR(64) NOT NULL,
    "sequence" BIGINT NOT NULL,
    "row_id" BYTEA NOT NULL,
    "key_id" BYTEA NOT NULL,
    "nonce" BYTEA NOT NULL,
    "ciphertext" BYTEA NOT NULL,

    CONSTRAINT "cash_flows_pkey" PRIMARY KEY ("account","sequence")
);

-- CreateTable
CREATE TABLE "account_states" (
    "account" VARCHAR(64) NOT NULL,
    "version" BIGINT NOT NULL,
    "key_id" BYTEA NOT NULL,
    "nonce" BYTEA NOT NULL,
    "ciphertext" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "account_states_pkey" PRIMARY KEY ("account","version")
);

-- CreateTable
CREATE TABLE "hourly_returns" (
    "account" VARCHAR(64) NOT NULL,
    "start_ms" BIGINT NOT NULL,
    "user_id" VARCHAR(64) NOT NULL,
    "hours" INTEGER NOT NULL,
    "venue" VARCHAR(32) NOT NULL,
    "environment" VARCHAR(8) NOT NULL,
    "currency" VARCHAR(32) NOT NULL,
    "value" DECIMAL(400,12),
    "closing" DECIMAL(400,18),
    "opening" DECIMAL(400,18),
    "flows" DECIMAL(400,18),
    "pnl" DECIMAL(400,18),
    "realised" DECIMAL(400,18),
    "unrealised" DECIMAL(400,18),
    "fees" DECIMAL(400,18),
    "funding" DECIMAL(400,18),
    "trades" INTEGER,
    "mark_age_ms" BIGINT,
    "flags" INTEGER NOT NULL,
    "encoded" BYTEA NOT NULL,
    "receipt" BYTEA NOT NULL,
    "position" INTEGER NOT NULL,
    "leaf_index" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "hourly_returns_pkey" PRIMARY KEY ("account","start_ms")
);

-- CreateTable
CREATE TABLE "balance_snapshots" (
    "account" VARCHAR(64) NOT NULL,
    "at_ms" BIGINT NOT NULL,
    "user_id" VARCHAR(64) NOT NULL,
    "currency" VARCHAR(32) NOT NULL,
    "equity" DECIMAL(400,18) NOT NULL,
    "leaf_index" BIGINT NOT NULL,

    CONSTRAINT "balance_snapshots_pkey" PRIMARY KEY ("account","at_ms")
);

-- CreateTable
CREATE TABLE "sync_jobs" (
    "id" BIGSERIAL NOT NULL,
    "account" VARCHAR(64) NOT NULL,
    "kind" "job_kind" NOT NULL,
    "again" "job_kind",
    "state" "job_state" NOT NULL DEFAULT 'QUEUED',
    "priority" INTEGER NOT NULL DEFAULT 0,
    "run_after" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lease" BIGINT NOT NULL DEFAULT 0,
    "worker" VARCHAR(128),
    "leased_until" TIMESTAMPTZ(3),
    "error_code" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "sync_jobs_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sync_statuses" (
    "account" VARCHAR(64) NOT NULL,
    "every_seconds" INTEGER NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_started_at" TIMESTAMPTZ(3),
    "last_succeeded_at" TIMESTAMPTZ(3),
    "last_failed_at" TIMESTAMPTZ(3),
    "paused" BOOLEAN NOT NULL DEFAULT false,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "error_code" INTEGER,

    CONSTRAINT "sync_statuses_pkey" PRIMARY KEY ("account")
);

-- CreateTable
CREATE TABLE "log_leaves" (
    "origin" VARCHAR(255) NOT NULL,
    "index" BIGINT NOT NULL,
    "leaf" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_leaves_pkey" PRIMARY KEY ("origin","index")
);

-- CreateTable
CREATE TABLE "log_heads" (
    "origin" VARCHAR(255) NOT NULL,
    "size" BIGINT NOT NULL,
    "note" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_heads_pkey" PRIMARY KEY ("origin","size")
);

-- CreateTable
CREATE TABLE "reader_limits" (
    "role" VARCHAR(63) NOT NULL,
    "user_id" VARCHAR(64) NOT NULL,

    CONSTRAINT "reader_limits_pkey" PRIMARY KEY ("role","user_id")
);

-- CreateIndex
CREATE INDEX "exchange_connections_user_id_idx" ON "exchange_connections"("user_id");

-- CreateIndex
CREATE UNIQUE INDEX "exchange_connections_account_user_id_key" ON "exchange_connections"("account", "user_id");

-- CreateIndex
CREATE INDEX "data_encryption_keys_user_id_idx" ON "data_encryption_keys"("user_id");

-- CreateIndex
CREATE UNIQUE INDEX "trades_account_row_id_key" ON "trades"("account", "row_id");

-- CreateIndex
CREATE UNIQUE INDEX "cash_flows_account_row_id_key" ON "cash_flows"("account", "row_id");

-- CreateIndex
CREATE INDEX "hourly_returns_user_id_start_ms_idx" ON "hourly_returns"("user_id", "start_ms");

-- CreateIndex
CREATE UNIQUE INDEX "hourly_returns_account_leaf_index_position_key" ON "hourly_returns"("account", "leaf_index", "position");

-- CreateIndex
CREATE INDEX "balance_snapshots_user_id_at_ms_idx" ON "balance_snapshots"("user_id", "at_ms");

-- CreateIndex
CREATE INDEX "sync_jobs_account_state_idx" ON "sync_jobs"("account", "state");

-- CreateIndex
CREATE INDEX "sync_statuses_due_at_idx" ON "sync_statuses"("due_at");

-- AddForeignKey
ALTER TABLE "exchange_connections" ADD CONSTRAINT "exchange_connections_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "exchange_connections" ADD CONSTRAINT "exchange_connections_key_id_fkey" FOREIGN KEY ("key_id") REFERENCES "data_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "data_encryption_keys" ADD CONSTRAINT "data_encryption_keys_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "trades" ADD CONSTRAINT "trades_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "trades" ADD CONSTRAINT "trades_key_id_fkey" FOREIGN KEY ("key_id") REFERENCES "data_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "cash_flows" ADD CONSTRAINT "cash_flows_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "cash_flows" ADD CONSTRAINT "cash_flows_key_id_fkey" FOREIGN KEY ("key_id") REFERENCES "data_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "account_states" ADD CONSTRAINT "account_states_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "account_states" ADD CONSTRAINT "account_states_key_id_fkey" FOREIGN KEY ("key_id") REFERENCES "data_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "hourly_returns" ADD CONSTRAINT "hourly_returns_account_user_id_fkey" FOREIGN KEY ("account", "user_id") REFERENCES "exchange_connections"("account", "user_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "balance_snapshots" ADD CONSTRAINT "balance_snapshots_account_user_id_fkey" FOREIGN KEY ("account", "user_id") REFERENCES "exchange_connections"("account", "user_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "sync_jobs" ADD CONSTRAINT "sync_jobs_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "sync_statuses" ADD CONSTRAINT "sync_statuses_account_fkey" FOREIGN KEY ("account") REFERENCES "exchange_connections"("account") ON DELETE RESTRICT ON UPDATE RESTRICT;

