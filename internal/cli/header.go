package cli

// Headers reads what -H of any command takes: "Key: value", or @FILE with one per line. Later ones win, and values
// never appear in errors.
func Headers(args []string) (map[string]string, error) { return readHeaders(args) }
