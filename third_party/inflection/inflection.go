// Package inflection stands in for the module of the same path, of which the database layer (bun) takes one function: the
// name of a table whose model names none. Every model here names its table, so the answer is computed and never used.
// The original compiles a hundred regular expressions whenever the process starts, also when that is a `darter get` of
// one kilobyte: a tenth of its time and a quarter of its memory (docs/decisions/0015-small-files.md).
package inflection

// Plural is the word with an s.
func Plural(word string) string { return word + "s" }
