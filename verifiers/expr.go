package verifiers

import (
	"fmt"
	"strings"
)

// Expr reads one value of a request.
//
// An expression is one or more terms; several make a composite value, joined by "|". A term is a place, and functions applied to it in turn:
//
//	header:X-Id                                  first value of a header
//	json:data.id                                 JSON path (gjson syntax) of the body
//	query:id   form:id                           query parameter, form field (urlencoded or multipart)
//	body                                         SHA-256 of the body, in hex
//	raw                                          the body itself
//	source   method   url   path   host   ip     the configured source's name and parts of the request
//	literal:x   param:name                       fixed text, a param of the Spec
//	json:message.data>from_base64>json:type      functions: a hash, hex, base64, base64url, from_hex, from_base64, from_base64url,
//	                                             lower, upper, trim, jwt_payload, json:<path>, xml:<path>, ...
//
// Alternatives are separated by "||": the first that has a value counts. A composite has a value if one of its places has one; literal text does
// not count. Blanks separate terms; one inside of a name is written "\ ".
type Expr struct {
	text         string
	alternatives [][]term
}

type term struct {
	source source
	funcs  []fn
	chain  string // the functions as they are written
}

// ParseExpr reads an expression. The error says what was expected.
func ParseExpr(s string) (Expr, error) {
	e := Expr{text: s}
	var terms []term
	for _, word := range splitWords(s) {
		if word == "||" {
			if len(terms) == 0 {
				return Expr{}, fmt.Errorf("expression %q: nothing in front of ||", s)
			}
			e.alternatives, terms = append(e.alternatives, terms), nil
			continue
		}
		t, err := parseTerm(word)
		if err != nil {
			return Expr{}, fmt.Errorf("expression %q: %w", s, err)
		}
		terms = append(terms, t)
	}
	if len(terms) == 0 {
		return Expr{}, fmt.Errorf("expression %q: expected header:<Name>, json:<path>, query:<name>, form:<name>, body or source", s)
	}
	e.alternatives = append(e.alternatives, terms)
	return e, nil
}

// splitWords splits at blanks that are not escaped.
func splitWords(s string) []string {
	var words []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ' ':
			i++
			b.WriteByte(' ')
		case s[i] == ' ' || s[i] == '\t' || s[i] == '\n':
			if b.Len() > 0 {
				words = append(words, b.String())
				b.Reset()
			}
		default:
			b.WriteByte(s[i])
		}
	}
	if b.Len() > 0 {
		words = append(words, b.String())
	}
	return words
}

func parseTerm(word string) (term, error) {
	parts := splitChain(word)
	src, err := parseSource(parts[0])
	if err != nil {
		return term{}, err
	}
	funcs, err := parseFuncs(parts[1:])
	return term{source: src, funcs: funcs, chain: strings.Join(parts[1:], ">")}, err
}

func parseFuncs(parts []string) ([]fn, error) {
	var funcs []fn
	for _, p := range parts {
		f, err := parseFunc(p)
		if err != nil {
			return nil, err
		}
		funcs = append(funcs, f)
	}
	return funcs, nil
}

// splitChain splits at ">" outside of parentheses, so that JSON path queries may compare.
func splitChain(s string) []string {
	var parts []string
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '>':
			if depth <= 0 {
				parts = append(parts, s[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, s[from:])
}

// String returns the expression as it was written.
func (e Expr) String() string { return e.text }

// Eval returns the value, empty if there is none. params: have no value here: they belong to a Provider.
func (e Expr) Eval(r *Request) string {
	a := newAttempt(nil, r)
	defer a.release()
	return e.eval(a)
}

func (e *Expr) eval(a *attempt) string {
	if e == nil {
		return ""
	}
	for _, terms := range e.alternatives {
		if v := evalTerms(terms, a); v != "" {
			return v
		}
	}
	return ""
}

func evalTerms(terms []term, a *attempt) string {
	if len(terms) == 1 {
		return terms[0].value(a)
	}
	var b strings.Builder
	found := false
	for i := range terms {
		t := &terms[i]
		v := t.value(a)
		if v != "" && t.source.place != placeLiteral && t.source.place != placeSource {
			found = true
		}
		if i > 0 {
			b.WriteByte('|')
		}
		// Escaped so that two different lists of values never make the same composite.
		b.WriteString(compositeEscaper.Replace(v))
	}
	if !found {
		return ""
	}
	return b.String()
}

var compositeEscaper = strings.NewReplacer(`\`, `\\`, `|`, `\|`)

// value is what the term reads. What all elements of a batch share is read once, for it may be the whole of a large body.
func (t *term) value(a *attempt) string {
	if a.element == nil || t.source.place == placeJSON || t.source.place == placeBody {
		return t.read(a)
	}
	v, ok := a.shared[t]
	if !ok {
		v = t.read(a)
		if a.shared == nil {
			a.shared = make(map[*term]string)
		}
		a.shared[t] = v
	}
	return v
}

func (t *term) read(a *attempt) string {
	var v string
	if t.source.place == placeBody {
		v = a.bodyHash()
	} else {
		v = t.source.value(a)
	}
	if v == "" {
		return "" // a hash of what is not there would pass for a value
	}
	return applyFuncs(t.funcs, a, v)
}

func applyFuncs(funcs []fn, a *attempt, v string) string {
	for _, f := range funcs {
		out, ok := f(a, v)
		if !ok {
			return ""
		}
		v = out
	}
	return v
}

// repeatedHeader returns the name of a header that the expression reads and that occurs several times.
func (e *Expr) repeatedHeader(a *attempt) string {
	for _, terms := range e.alternatives {
		for i := range terms {
			if s := terms[i].source; s.place == placeHeader && len(a.r.Header[s.name]) > 1 {
				return s.name
			}
		}
	}
	return ""
}

// write puts a value where the expression's first alternative reads it, and at those of the others that have one already and that also takes.
func (e *Expr) write(a *attempt, v string, also func(rank int) bool) error {
	for i, terms := range e.alternatives {
		plain := len(terms) == 1 && len(terms[0].funcs) == 0
		if i > 0 && (!plain || terms[0].value(a) == "" || !also(i)) {
			continue
		}
		if !plain {
			return fmt.Errorf("%w: %s cannot be written", ErrCannotSign, e.text)
		}
		if err := writeValue(a.r, terms[0].source.place, terms[0].source.name, v); err != nil {
			return err
		}
	}
	return nil
}

// plain returns the one place that the expression reads as it is; ok is false if it reads several or applies functions.
func (e *Expr) plain() (s source, ok bool) {
	if e == nil || len(e.alternatives) != 1 || len(e.alternatives[0]) != 1 || len(e.alternatives[0][0].funcs) > 0 {
		return source{}, false
	}
	return e.alternatives[0][0].source, true
}
