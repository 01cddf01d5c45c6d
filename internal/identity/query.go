package identity

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// pair is one key and value of a form-urlencoded query, decoded.
type pair struct{ key, value string }

type pairs []pair

// parseQuery decodes a query as an HTML form: "&" separates pairs, empty ones are skipped, "+" is a
// space, a broken escape is taken literally, and bytes that are no UTF-8 become U+FFFD. net/url is
// stricter (it drops pairs with ";" and with broken escapes), and would give other ids.
func parseQuery(query string) pairs {
	var out pairs
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		out = append(out, pair{decodeForm(key), decodeForm(value)})
	}
	return out
}

func filterPairs(in pairs, keys []string) pairs {
	return slices.DeleteFunc(in, func(p pair) bool { return slices.Contains(keys, p.key) })
}

func (ps pairs) encode() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('&')
		}
		encodeForm(&b, p.key)
		b.WriteByte('=')
		encodeForm(&b, p.value)
	}
	return b.String()
}

func decodeForm(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(text) && hexValue(text[i+1]) >= 0 && hexValue(text[i+2]) >= 0:
			c = byte(hexValue(text[i+1])<<4 | hexValue(text[i+2]))
			i += 2
		}
		out = append(out, c)
	}
	return lossyUTF8(out)
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// encodeForm writes text so that only letters, digits and *-._ stay as they are.
func encodeForm(b *strings.Builder, text string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '*', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}

// lossyUTF8 replaces each longest prefix of a broken sequence by one U+FFFD, as the Unicode standard
// recommends and Rust does. Go's strings.ToValidUTF8 replaces whole runs instead.
func lossyUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = brokenPrefix(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// brokenPrefix returns how many bytes at the start of b could have begun a character, at least one.
func brokenPrefix(b []byte) int {
	lo, hi, want := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case 0xC2 <= c && c <= 0xDF:
		want = 1
	case 0xE0 <= c && c <= 0xEF:
		want = 2
		if c == 0xE0 {
			lo = 0xA0 // less would be an overlong form
		} else if c == 0xED {
			hi = 0x9F // more would be a surrogate
		}
	case 0xF0 <= c && c <= 0xF4:
		want = 3
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for n <= want && n < len(b) && lo <= b[n] && b[n] <= hi {
		lo, hi = 0x80, 0xBF
		n++
	}
	return n
}
