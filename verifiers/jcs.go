package verifiers

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// maxJCSDepth bounds recursion.
const maxJCSDepth = 128

var errJCS = errors.New("JSON cannot be made canonical")

// canonicalJSON writes JSON as RFC 8785 (JCS) does: names sorted, no blanks, numbers and strings in one spelling. An object that has a name twice is refused: a
// signature over one of the two would vouch for the other.
func canonicalJSON(v string) (string, bool) {
	dec := json.NewDecoder(strings.NewReader(v))
	var b strings.Builder
	if err := writeJCS(dec, &b, 0); err != nil {
		return "", false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", false
	}
	return b.String(), true
}

func writeJCS(dec *json.Decoder, b *strings.Builder, depth int) error {
	tok, err := dec.Token()
	if err != nil || depth > maxJCSDepth {
		return errJCS
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return writeJCSObject(dec, b, depth)
		}
		return writeJCSArray(dec, b, depth)
	case string:
		writeJCSString(b, t)
	case float64:
		return writeJCSNumber(b, t)
	case bool:
		b.WriteString(map[bool]string{true: "true", false: "false"}[t])
	default:
		b.WriteString("null")
	}
	return nil
}

func writeJCSArray(dec *json.Decoder, b *strings.Builder, depth int) error {
	b.WriteByte('[')
	for i := 0; dec.More(); i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJCS(dec, b, depth+1); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	_, err := dec.Token()
	return err
}

func writeJCSObject(dec *json.Decoder, b *strings.Builder, depth int) error {
	type member struct {
		name  string
		units []uint16 // what names are sorted by
		value string
	}
	var members []member
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return errJCS
		}
		var value strings.Builder
		if err := writeJCS(dec, &value, depth+1); err != nil {
			return err
		}
		members = append(members, member{name, utf16.Encode([]rune(name)), value.String()})
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	slices.SortFunc(members, func(x, y member) int { return slices.Compare(x.units, y.units) })
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			if members[i-1].name == m.name {
				return errJCS
			}
			b.WriteByte(',')
		}
		writeJCSString(b, m.name)
		b.WriteByte(':')
		b.WriteString(m.value)
	}
	b.WriteByte('}')
	return nil
}

// writeJCSNumber spells a number as ECMAScript does, which is what the library does but for minus zero.
func writeJCSNumber(b *strings.Builder, n float64) error {
	if n == 0 {
		n = 0 // not -0
	}
	text, err := json.Marshal(n)
	b.Write(text)
	return err
}

// writeJCSString escapes quotes, backslashes and control characters and nothing else.
func writeJCSString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ':
			b.WriteRune(r)
		default:
			if i := strings.IndexRune("\b\t\n\f\r", r); i >= 0 {
				b.WriteByte('\\')
				b.WriteByte("btnfr"[i])
				continue
			}
			const digits = "0123456789abcdef"
			b.WriteString(`\u00`)
			b.WriteByte(digits[r>>4])
			b.WriteByte(digits[r&15])
		}
	}
	b.WriteByte('"')
}
