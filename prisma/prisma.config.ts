// How Prisma's command line works without an engine of its own to download: the engine is a
// WebAssembly module of a package, and speaks to PostgreSQL through node-postgres.
//
// Never `migrate dev` or `migrate diff --from-migrations` on a database with data: with this engine
// they take the real one for their scratch database. README.md has what to use instead.
import { PrismaPg } from '@prisma/adapter-pg'

export default {
  experimental: { adapter: true },
  engine: 'js',
  schema: 'schema.prisma',
  adapter: async () =>
    new PrismaPg({ connectionString: process.env.STRONGROOM_DSN, allowExitOnIdle: true }),
}
