// Package databasetest runs a test on both databases, and breaks them.
//
//	Each(t, test, migrations...) ──▶ "sqlite":   a file in t.TempDir
//	                             └─▶ "postgres": a fresh database of one server, which this process starts
//	                                             from the Debian package and which ends with it
//	Breaker ──▶ database.Config.Connector: fails, delays or kills at the n-th statement
//
// Without the package the PostgreSQL half is skipped, and says so; with CI=true in the environment it
// fails instead.
package databasetest
