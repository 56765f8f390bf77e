package verifiers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// picks tells whether content is made of values that are taken out of the body, which it does not cover as a whole.
func (t *Template) picks() bool {
	return (t.uses(placeJSON) || t.uses(placeForm)) && !t.uses(placeBody)
}

// picksSigned tells the same of a request that has been verified: of the content that its signature fits, or of a token that stands in a field of the body.
func (p *Provider) picksSigned(a *attempt) bool {
	if a.content != nil {
		return a.content.picks()
	}
	token := p.spec.Scheme == SchemeJWT || p.spec.Scheme == SchemeJWS
	return token && (p.sig.place == placeJSON || p.sig.place == placeForm || slices.ContainsFunc(p.content, (*Template).picks))
}

// checkRepeated refuses a body or a query that has a name twice where values are picked out of it: the signature vouches for the first of the two, and most applications read
// the last. Where ValidJSON cannot read the body or a field, nobody knows what others read there, so that is refused too.
func (p *Provider) checkRepeated(a *attempt) error {
	if a.content != nil && a.content.repeatsParameter(a.r.URL) {
		return fmt.Errorf("%w: the query has a parameter twice, or what readers differ about, and the signature covers only values out of it", ErrMismatch)
	}
	if !p.picksSigned(a) {
		return nil
	}
	body := a.r.Body
	switch form, digs := p.readsForm(a); {
	case ValidJSON(body):
		if !repeatsName(body) {
			return nil
		}
	case !form || looksLikeJSON(body):
		return fmt.Errorf("%w: the body is not JSON that all readers understand alike, and the signature covers only values out of it", ErrMismatch)
	case !repeatsField(a.formValues(), digs):
		return nil
	}
	return fmt.Errorf("%w: the body has a name twice, or JSON in a field that readers differ about, and the signature covers only values out of it", ErrMismatch)
}

// repeatsParameter tells whether a parameter that t picks out of a query occurs several times there, or others may read what is not read here.
func (t *Template) repeatsParameter(u *url.URL) bool {
	if u == nil || !t.uses(placeQuery) || slices.ContainsFunc(queryPlaces, t.uses) {
		return false
	}
	query, err := url.ParseQuery(u.RawQuery)
	repeated := err != nil
	t.each(placeQuery, func(name string) { repeated = repeated || len(query[name]) > 1 })
	return repeated
}

// readsForm tells whether values are picked out of fields, and whether out of JSON in them.
func (p *Provider) readsForm(a *attempt) (form, digs bool) {
	contents := p.content
	if a.content != nil {
		contents = []*Template{a.content}
	} else {
		form = p.sig.place == placeForm
	}
	for _, t := range contents {
		form = form || t.uses(placeForm)
		digs = digs || strings.Contains(t.text, ">json:")
	}
	return form, digs
}

func looksLikeJSON(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n\ufeff")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// repeatsField tells whether a field occurs several times or, where values are picked out of JSON in one, JSON in it has a name twice or cannot be read.
func repeatsField(form url.Values, digs bool) bool {
	for _, values := range form {
		value := []byte(values[0])
		if len(values) > 1 || digs && looksLikeJSON(value) && (!ValidJSON(value) || repeatsName(value)) {
			return true
		}
	}
	return false
}

// repeatsName tells whether any object of a valid JSON text has a name twice. It keeps its own stack: senders choose how deep their objects are.
func repeatsName(text []byte) bool {
	type level struct {
		names map[string]bool // nil: an array
		named bool            // what comes next is the value of a name
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // of any size
	open := []level{{}}
	for {
		tok, err := dec.Token()
		if err != nil { // the end
			return false
		}
		top := &open[len(open)-1]
		if name, ok := tok.(string); ok && top.names != nil && !top.named {
			if top.names[name] {
				return true
			}
			top.names[name], top.named = true, true
			continue
		}
		if delim, ok := tok.(json.Delim); ok && (delim == '}' || delim == ']') {
			open = open[:len(open)-1]
			continue
		}
		top.named = false
		switch tok {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}
