// Package sheet shows rows to people and to programs: one set of rules for every command.
//
//	rows ─┬─▶ Table ─▶ columns, "-" for nothing, no control characters     -o table
//	      └─▶ JSON, YAML: the same rows, whole                              -o json, yaml
//
// It promises that text of others cannot steer the terminal, and that the same row says the same in each
// format. It deliberately asks nobody for rows, and knows no exit codes.
package sheet
