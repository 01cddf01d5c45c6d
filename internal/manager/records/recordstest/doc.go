// Package recordstest is what tests and benchmarks of the reclaimer share: a table like that of jobs, a
// way to fill it quickly, policies and an audit in memory, and the naive ways to delete that a
// benchmark compares with.
//
//	Migrations, Table ──▶ works, work_parts: a row of about 1 KB, and one child of each
//	Fill(db, Load)    ──▶ any number of rows within the database, without sending them
//	NaiveDelete, NaiveBatches ──▶ one DELETE; a loop of batches without index and pacing
package recordstest
