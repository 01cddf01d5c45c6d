// Package database is the one way to the manager's rows: a SQLite file or a PostgreSQL server, one code.
//
//	room ──▶ Write(ctx, func(ctx, tx)) ──▶ writer ──▶ SQLite: one connection, BEGIN IMMEDIATE
//	  │                                     │         PostgreSQL: pool, READ COMMITTED
//	  │                          retried: deadlock, serialization, busy
//	  ├──▶ Read(ctx, func(ctx, tx)) ───▶ reader ──▶ SQLite: mode=ro, query_only
//	  │                                             PostgreSQL: REPEATABLE READ, READ ONLY
//	  ├──▶ Enclose ──▶ each Write and Read under its context ──▶ one transaction, or none
//	  ├──▶ tx.Notify ── commit ──▶ LISTEN/NOTIFY, or within the process ──▶ Subscription
//	  └──▶ Acquire, Lead ──▶ leases: one holder per scope, a token that only grows ──▶ tx.Hold
//
// How rows are written, in every room:
//
//   - an id is a ULID, 26 characters of text (NewID): it sorts by the time it was made;
//   - an instant is a BIGINT of microseconds since 1970 in UTC (Micros); 0 or NULL means none. Both
//     databases compare and index it alike, and it comes back as it went in;
//   - a truth is a BOOLEAN, a document is TEXT that holds JSON, an enumeration is TEXT;
//   - SQL is written with ? placeholders and bun.Ident for names. Values never become part of the text by hand.
//
// A room brings its own tables as Migrations: an embedded folder of goose files named 00100_word.sql.
// What differs between the databases lies in a subfolder "sqlite" or "postgres" and takes the place of
// the file of the same name, or joins the others.
//
// It promises that what Write commits is whole or absent, that nothing reached through Read can write,
// that a transaction which calls Hold commits only while its lease is the newest one, that each error
// of the database comes back as a darter.Error of a fitting kind, and that every wait has an end. It
// refuses a database of a newer schema and a SQLite file that another process has open.
//
// It deliberately knows no table but its own: SQL lives with the room whose rows it moves.
package database
