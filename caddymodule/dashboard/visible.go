package dashboard

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// showUnseen writes the characters of a page's text that cannot be seen as JSON does, \u202e for instance: with them a stranger could put what is read into another order than
// what is there. Attributes keep theirs, so that what is copied or sent stays what it was.
func showUnseen(page []byte) []byte {
	if bytes.IndexFunc(page, unseen) < 0 {
		return page
	}
	out := make([]byte, 0, len(page)+64)
	tag := false
	for len(page) > 0 {
		r, size := utf8.DecodeRune(page)
		switch {
		case r == '<':
			tag = true
		case r == '>': // a quoted one was escaped
			tag = false
		}
		if !tag && unseen(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, page[:size]...)
		}
		page = page[size:]
	}
	return out
}

// unseen reports whether a character steers a terminal or the direction of text, or takes no place. Joiners stay: scripts and emoji are written with them.
func unseen(r rune) bool {
	switch r {
	case '\n', '\r', '\t', '\u200c', '\u200d':
		return false
	case '\u2028', '\u2029':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u200b' || r == '\u2060' || r == '\ufeff'
}
