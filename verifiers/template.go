package verifiers

import (
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// Template builds text from a request: the content that is signed, a key address, a handshake's answer.
//
// It is literal text with placeholders. A placeholder is a place as in [Expr], with a dot or a colon before the name, and functions:
//
//	{body} {timestamp} {id} {method} {url} {path} {query} {target} {host}
//	{header.X-Id} {json.data.id} {form.name} {query.name} {param.name}
//	{secret} {secret_id} {key_id} {form_sorted} {query_sorted} {query_encoded} {canonical_request}
//	{body>sha256>hex}                            functions; unlike in an expression body is the body itself
//	{query.code>hmac_sha256>hex}                 keyed with the secret being tried (in a handshake: the first one)
//	{query.code+param.token+url>sha256>hex}      places joined, then the functions
//	{?json.Subject}Subject: {json.Subject}{/}    only if the place has a value; sections do not nest
//
// A "{" that is not followed by a small letter or "?" and a lone "}" stand for themselves, so JSON can be written plainly. Escapes: \n \r \t \\ \{.
type Template struct {
	text  string
	parts []part
}

// part is literal text, a placeholder, or a section.
type part struct {
	literal string
	sources []source
	funcs   []fn
	section *Template // with the condition in sources
}

// sink takes what a template renders.
type sink interface {
	Write([]byte) (int, error)
	WriteString(string) (int, error)
}

// ParseTemplate reads a template. The error says what was expected.
func ParseTemplate(s string) (*Template, error) {
	p := templateParser{in: s}
	t, err := p.parse(false)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", s, err)
	}
	return t, nil
}

type templateParser struct {
	in  string
	pos int
}

// parse reads up to the end, or up to {/} in a section.
func (p *templateParser) parse(section bool) (*Template, error) {
	t := &Template{text: p.in}
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			t.parts = append(t.parts, part{literal: lit.String()})
			lit.Reset()
		}
	}
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		switch {
		case c == '\\' && p.pos+1 < len(p.in):
			lit.WriteString(unescape(p.in[p.pos+1]))
			p.pos += 2
		case c == '{' && strings.HasPrefix(p.in[p.pos:], "{/}"):
			if !section {
				return nil, errors.New("{/} without a section {?...} before it")
			}
			p.pos += len("{/}")
			flush()
			return t, nil
		case c == '{' && p.pos+1 < len(p.in) && startsPlaceholder(p.in[p.pos+1]):
			flush()
			part, err := p.placeholder(section)
			if err != nil {
				return nil, err
			}
			t.parts = append(t.parts, part)
		default:
			lit.WriteByte(c)
			p.pos++
		}
	}
	if section {
		return nil, errors.New("section {?...} has no end {/}")
	}
	flush()
	return t, nil
}

func startsPlaceholder(c byte) bool { return c == '?' || (c >= 'a' && c <= 'z') }

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '\\', '{', '}':
		return string(c)
	}
	return `\` + string(c)
}

// placeholder reads one in braces, with its section if it opens one.
func (p *templateParser) placeholder(inSection bool) (part, error) {
	end := strings.IndexByte(p.in[p.pos:], '}')
	if end < 0 {
		return part{}, fmt.Errorf("%q has no closing brace", p.in[p.pos:])
	}
	inner := p.in[p.pos+1 : p.pos+end]
	p.pos += end + 1
	cond, isSection := strings.CutPrefix(inner, "?")
	chain := splitChain(cond)
	var out part
	for _, s := range strings.Split(chain[0], "+") {
		src, err := parseSource(s)
		if err != nil {
			return part{}, err
		}
		out.sources = append(out.sources, src)
	}
	var err error
	if out.funcs, err = parseFuncs(chain[1:]); err != nil || !isSection {
		return out, err
	}
	if inSection {
		return part{}, errors.New("sections do not nest")
	}
	out.section, err = p.parse(true)
	return out, err
}

// String returns the template as it was written.
func (t *Template) String() string { return t.text }

// uses tells whether any placeholder reads from place p.
func (t *Template) uses(p place) bool {
	for _, part := range t.parts {
		for _, s := range part.sources {
			if s.place == p {
				return true
			}
		}
		if part.section != nil && part.section.uses(p) {
			return true
		}
	}
	return false
}

// reads tells whether any placeholder reads exactly s.
func (t *Template) reads(s source) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool {
		return slices.Contains(p.sources, s) || p.section != nil && p.section.reads(s)
	})
}

// each calls f for each name that is read from place p.
func (t *Template) each(p place, f func(name string)) {
	for _, part := range t.parts {
		for _, s := range part.sources {
			if s.place == p {
				f(s.name)
			}
		}
		if part.section != nil {
			part.section.each(p, f)
		}
	}
}

// keyed tells whether a secret is needed to render the template.
func (t *Template) keyed() bool {
	if t.uses(placeSecret) || t.uses(placeSecretID) {
		return true
	}
	return strings.Contains(t.text, ">hmac_")
}

// fixed tells whether the template reads nothing of the request.
func (t *Template) fixed() bool {
	for _, part := range t.parts {
		for _, s := range part.sources {
			if s.place != placeParam && s.place != placeLiteral {
				return false
			}
		}
		if part.section != nil && !part.section.fixed() {
			return false
		}
	}
	return true
}

// claimable tells whether a token's claim may be asked to be t. What the sender could make empty may not, for an empty value asks for nothing; method, url and the
// canonical request, with what is joined to them, never are.
func (t *Template) claimable() bool {
	for _, part := range t.parts {
		if len(part.sources) > 0 && slices.Contains([]place{placeMethod, placeURL, placeCanonical}, part.sources[0].place) {
			continue
		}
		for _, s := range part.sources {
			if s.place != placeParam && s.place != placeLiteral && s.place != placeSecretID {
				return false
			}
		}
		if part.section != nil && !part.section.claimable() {
			return false
		}
	}
	return true
}

// render writes the template's text for a.
func (t *Template) render(a *attempt, w sink) {
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.sources == nil:
			w.WriteString(p.literal) //nolint:errcheck // sinks are buffers and hashes
		case p.section != nil:
			if p.value(a) != "" {
				p.section.render(a, w)
			}
		case len(p.sources) == 1 && p.funcs == nil && (p.sources[0].place == placeBody || p.sources[0].place == placeRaw):
			w.Write(a.body) //nolint:errcheck // as above; the body is not copied
		case len(p.sources) == 1 && p.funcs == nil && p.sources[0].place == placeSecret && a.key != nil:
			w.Write(a.key.bytes) //nolint:errcheck // as above
		default:
			w.WriteString(p.value(a)) //nolint:errcheck // as above
		}
	}
}

func (p *part) value(a *attempt) string {
	v := p.sources[0].value(a)
	for _, s := range p.sources[1:] {
		v += s.value(a)
	}
	return applyFuncs(p.funcs, a, v)
}

// string renders into a string.
func (t *Template) string(a *attempt) string {
	var b strings.Builder
	t.render(a, &b)
	return b.String()
}

// hashSink feeds a hash without turning each string into a slice of its own.
type hashSink struct {
	h hash.Hash
	a *attempt
}

func (s *hashSink) Write(b []byte) (int, error) { return s.h.Write(b) }

func (s *hashSink) WriteString(v string) (int, error) {
	n := len(v)
	for len(v) > 0 {
		c := v[:min(len(v), cap(s.a.scratch))]
		s.a.scratch = append(s.a.scratch[:0], c...)
		if _, err := s.h.Write(s.a.scratch); err != nil {
			return 0, err
		}
		v = v[len(c):]
	}
	return n, nil
}
