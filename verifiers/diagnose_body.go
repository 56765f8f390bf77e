package verifiers

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/pretty"
	"golang.org/x/text/encoding/charmap"
)

// bodyChange is one way in which something between the provider and us may have changed a body: change makes the original out of what arrived; nil: not applicable.
type bodyChange struct {
	what   string
	change func(body []byte) []byte
}

var bom = []byte("\xef\xbb\xbf")

var bodyChanges = []bodyChange{
	{"without its trailing line break: something added one", func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }},
	{"with a trailing line break: something removed it", func(b []byte) []byte { return append(bytes.Clone(b), '\n') }},
	{"with a trailing CRLF: something removed it", func(b []byte) []byte { return append(bytes.Clone(b), '\r', '\n') }},
	{"without blanks around it", bytes.TrimSpace},
	{"with LF in place of CRLF: something changed line breaks", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }},
	{"with CRLF in place of LF: something changed line breaks", func(b []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}},
	{"without the byte order mark", func(b []byte) []byte { return bytes.TrimPrefix(b, bom) }},
	{"with a byte order mark", func(b []byte) []byte { return slices.Concat(bom, b) }},
	{"as compact JSON: something wrote the JSON anew", compactJSON},
	{"as JSON with a blank after commas and colons (as Python writes it): something wrote the JSON anew", spacedJSON},
	{"as JSON indented by two blanks: something wrote the JSON anew", func(b []byte) []byte { return indentJSON(b, "  ") }},
	{"as JSON indented by four blanks: something wrote the JSON anew", func(b []byte) []byte { return indentJSON(b, "    ") }},
	{"as compact JSON with sorted keys: something wrote the JSON anew", sortedJSON},
	{`with / as \/ (as PHP writes it): something unescaped it`, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)) }},
	{`with \/ as /: something escaped it`, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`\/`), []byte("/")) }},
	{`with characters beyond ASCII as \uXXXX: something unescaped them`, func(b []byte) []byte { out, _ := escapeNonASCII(b); return out }},
	{`with \uXXXX as characters: something escaped them`, func(b []byte) []byte { return rewriteJSON(b, false) }},
	{`with <, > and & as \uXXXX: something unescaped them`, func(b []byte) []byte { return rewriteJSON(b, true) }},
	{"in ISO 8859-1: something changed the charset to UTF-8", toLatin1},
	{"in UTF-8: something changed the charset to ISO 8859-1", fromLatin1},
	{"unpacked: it is still compressed", gunzip},
	{"as a form with blanks as %20: something wrote the form anew", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("+"), []byte("%20")) }},
	{"as a form with blanks as +: something wrote the form anew", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("%20"), []byte("+")) }},
	{"as a form in order of names: something wrote the form anew", sortForm},
	{"empty: the signature does not cover it", func([]byte) []byte { return []byte{} }},
}

// bodies tries bodies that the one which arrived may have been made of.
func (d *diagnostician) bodies() {
	if d.p.sig.place == placeRaw {
		return
	}
	var fits []byte // several changes may lead to one body: the first of them is the most particular
	for _, c := range bodyChanges {
		if d.exhausted() {
			return
		}
		body := c.change(d.r.Body)
		if body == nil || bytes.Equal(body, d.r.Body) || fits != nil && bytes.Equal(body, fits) {
			continue
		}
		r := *d.r
		r.Body = body
		if d.genuine(d.p, &r, d.secrets) {
			fits = body
			d.found("body", true, "the signature fits the body %s", c.what)
		}
	}
}

// content notes what is conspicuous about the body itself.
func (d *diagnostician) content() {
	if len(d.r.Body) == 0 && d.out.Reason != "" && slices.Contains(d.p.spec.Methods, d.r.Method) && !slices.Contains(d.p.spec.Body, "empty") {
		d.found("body_empty", false, "the body is empty: something may have read it before")
	}
	if enc := d.r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		d.found("content_encoding", false, "Content-Encoding is set: signatures are over the body as it was sent, so nothing may unpack it on the way")
	}
}

// onlyJSON keeps changes of JSON away from what is none.
func onlyJSON(b []byte, f func() []byte) []byte {
	if !ValidJSON(b) {
		return nil
	}
	return f()
}

func compactJSON(b []byte) []byte {
	return onlyJSON(b, func() []byte { return pretty.Ugly(b) })
}

func sortedJSON(b []byte) []byte {
	return onlyJSON(b, func() []byte { return pretty.Ugly(pretty.PrettyOptions(b, &pretty.Options{SortKeys: true})) })
}

// maxIndented bounds what a body may become.
const maxIndented = 32 << 20

func indentJSON(b []byte, indent string) []byte {
	out, _ := IndentJSON(b, indent, maxIndented)
	return out
}

// spacedJSON writes ", " and ": " between values.
func spacedJSON(b []byte) []byte {
	return onlyJSON(b, func() []byte {
		compact := pretty.Ugly(b)
		out := make([]byte, 0, len(compact)+len(compact)/8)
		quoted := false
		for i, c := range compact {
			if c == '"' && !escaped(compact, i) {
				quoted = !quoted
			}
			out = append(out, c)
			if !quoted && (c == ',' || c == ':') {
				out = append(out, ' ')
			}
		}
		return out
	})
}

// escaped tells whether an odd number of backslashes stands before b[i].
func escaped(b []byte, i int) bool {
	n := 0
	for i--; i >= 0 && b[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// rewriteJSON writes each string of a document anew and leaves all else as it is.
func rewriteJSON(b []byte, escapeHTML bool) []byte {
	return onlyJSON(b, func() []byte {
		var out bytes.Buffer
		for i := 0; i < len(b); i++ {
			if b[i] != '"' {
				out.WriteByte(b[i])
				continue
			}
			end := i + 1
			for b[end] != '"' || escaped(b, end) {
				end++
			}
			var s string
			if json.Unmarshal(b[i:end+1], &s) != nil {
				return nil
			}
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(escapeHTML)
			if enc.Encode(s) != nil {
				return nil
			}
			out.Truncate(out.Len() - 1) // the encoder's line break
			i = end
		}
		return out.Bytes()
	})
}

func toLatin1(b []byte) []byte {
	if !utf8.Valid(b) {
		return nil
	}
	out, err := charmap.ISO8859_1.NewEncoder().Bytes(b)
	if err != nil {
		return nil
	}
	return out
}

func fromLatin1(b []byte) []byte {
	out, err := charmap.ISO8859_1.NewDecoder().Bytes(b)
	if err != nil {
		return nil
	}
	return out
}

// maxUnpacked bounds what a compressed body may become.
const maxUnpacked = 8 << 20

func gunzip(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, err := io.ReadAll(io.LimitReader(z, maxUnpacked))
	if err != nil {
		return nil
	}
	return out
}

func sortForm(b []byte) []byte {
	v, err := url.ParseQuery(string(b))
	if err != nil || !strings.Contains(string(b), "=") {
		return nil
	}
	return []byte(v.Encode())
}
