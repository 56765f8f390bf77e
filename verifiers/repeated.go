package verifiers

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
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

// checkRepeated refuses a body that has a name twice where values are picked out of it: the signature vouches for the first of the two, and most applications read
// the last.
func (p *Provider) checkRepeated(a *attempt) error {
	if !p.picksSigned(a) {
		return nil
	}
	var repeats bool
	if gjson.ValidBytes(a.r.Body) {
		repeats = repeatsName(string(a.r.Body))
	} else {
		repeats = repeatsField(a.formValues())
	}
	if repeats {
		return fmt.Errorf("%w: the body has a name twice, and the signature covers one of them", ErrMismatch)
	}
	return nil
}

// repeatsField tells whether a field occurs several times, or one that holds JSON has a name twice in it.
func repeatsField(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 || gjson.Valid(values[0]) && repeatsName(values[0]) {
			return true
		}
	}
	return false
}

// repeatsName tells whether any object of a valid JSON text has a name twice. It keeps its own stack: senders choose how deep their objects are.
func repeatsName(text string) bool {
	type level struct {
		names map[string]bool // nil: an array
		named bool            // what comes next is the value of a name
	}
	dec := json.NewDecoder(strings.NewReader(text))
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
