package dashboard

import (
	"bytes"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// maxShown bounds what a page shows of one payload; the download has all of it.
const maxShown = 128 << 10

// maxIndented bounds what such a payload may become when it is indented; beyond that it is shown as it is.
const maxIndented = 8 * maxShown

// pane is a payload as a page shows it.
type pane struct {
	Form        string
	ContentType string
	Size        int
	Body        []byte
	Shown       template.HTML // safe: every part of it was escaped
	Masked      bool
	Cut         bool
	Binary      bool
	Hidden      string // why nothing is shown
}

// pane reads a payload in one of its forms.
func (x *exchange) pane(id, form string) (*pane, error) {
	p, err := x.payloadPane("events/"+url.PathEscape(id)+"/payload", url.Values{"format": {form}})
	if err != nil {
		return nil, err
	}
	p.Form = form
	return p, nil
}

// payloadPane reads a payload.
func (x *exchange) payloadPane(path string, query url.Values) (*pane, error) {
	answer, err := x.raw(http.MethodGet, path, query, nil)
	var problem *Problem
	if errors.As(err, &problem) && problem.Code == "hidden" {
		return &pane{Hidden: problem.Detail}, nil
	}
	if err != nil {
		return nil, err
	}
	p := &pane{
		ContentType: answer.Header.Get("Webhook-Content-Type"), Size: len(answer.Body), Body: answer.Body,
		Masked: answer.Header.Get("Webhook-Payload-Masked") == "true",
	}
	p.show()
	return p, nil
}

// show sets what is shown of the body.
func (p *pane) show() {
	body := p.Body
	if !utf8.Valid(body) {
		p.Binary = true
		return
	}
	if len(body) <= maxShown {
		if indented, ok := verifiers.IndentJSON(body, "  ", maxIndented); ok {
			p.Shown = highlight(string(indented))
			return
		}
	}
	if len(body) > maxShown {
		body, p.Cut = bytes.ToValidUTF8(body[:maxShown], nil), true
	}
	p.Shown = template.HTML(template.HTMLEscapeString(string(body))) //nolint:gosec // escaped
}

// highlight marks keys, strings, numbers and words of valid JSON.
func highlight(text string) template.HTML {
	var b strings.Builder
	b.Grow(len(text) * 2)
	mark := func(class, token string) {
		b.WriteString(`<span class="` + class + `">`)
		template.HTMLEscape(&b, []byte(token))
		b.WriteString("</span>")
	}
	for i := 0; i < len(text); {
		end := tokenEnd(text, i)
		token := text[i:end]
		switch c := token[0]; {
		case c == '"' && strings.HasPrefix(text[end:], ":"):
			mark("k", token)
		case c == '"':
			mark("s", token)
		case c == '-' || c >= '0' && c <= '9':
			mark("n", token)
		case c >= 'a' && c <= 'z':
			mark("w", token)
		default:
			b.WriteString(token) // blanks and brackets
		}
		i = end
	}
	return template.HTML(b.String()) //nolint:gosec // escaped
}

// tokenEnd returns where the token that begins at i ends.
func tokenEnd(text string, i int) int {
	plain := func(c byte) bool {
		return c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == 'E'
	}
	switch c := text[i]; {
	case c == '"':
		for j := i + 1; j < len(text); j++ {
			switch text[j] {
			case '\\':
				j++
			case '"':
				return j + 1
			}
		}
		return len(text)
	case plain(c):
		for i < len(text) && plain(text[i]) {
			i++
		}
		return i
	}
	for i < len(text) && text[i] != '"' && !plain(text[i]) {
		i++
	}
	return i
}

// curlSkipped are headers that curl writes itself.
var curlSkipped = []string{"Content-Length", "Accept-Encoding", "Host", "Connection"}

// curlCommand writes the request that brought the event as a command line. What is masked stays masked, so a signature does not fit any more.
func curlCommand(e *EventDetail, raw *pane) string {
	var b strings.Builder
	b.WriteString("curl -X " + quote(e.Method) + " " + quote(e.URL))
	names := make([]string, 0, len(e.Header))
	for name := range e.Header {
		if !slices.Contains(curlSkipped, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range e.Header[name] {
			b.WriteString(" \\\n  -H " + quote(name+": "+value))
		}
	}
	switch {
	case raw.Hidden != "" || raw.Size == 0:
	case raw.Binary || raw.Cut || strings.ContainsRune(string(raw.Body), 0):
		b.WriteString(" \\\n  --data-binary @" + fileName(e.ID) + ".bin")
	default:
		b.WriteString(" \\\n  --data-binary " + quote(string(raw.Body)))
	}
	return b.String()
}

// quote writes a word for a POSIX shell.
func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
