package pki

import (
	"encoding/hex"
	"errors"
	"strings"
)

// FormatJoin puts a join token and the pin of the authority into the one text that an operator carries to a node.
func FormatJoin(token, pin string) string { return token + "." + pin }

// ParseJoin takes it apart. The token itself is for the manager to judge.
func ParseJoin(text string) (token, pin string, err error) {
	token, pin, ok := strings.Cut(strings.TrimSpace(text), ".")
	sum, hexErr := hex.DecodeString(pin)
	if !ok || hexErr != nil || len(sum) != 32 || pin != strings.ToLower(pin) || !strings.HasPrefix(token, "dtj_") || strings.ContainsAny(token, " \t\r\n") {
		return "", "", errors.New("not a join token as darter admin join-token create prints it")
	}
	return token, pin, nil
}
