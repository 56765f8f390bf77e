package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

// typeFilter selects events by type: one of the globs, if there are any, and none of those with a "!" in front.
type typeFilter struct{ include, exclude []string }

func newTypeFilter(globs []string) (f typeFilter, err error) {
	for _, g := range globs {
		bare, negated := strings.CutPrefix(g, "!")
		if _, err := queue.MatchType(bare, ""); err != nil || bare == "" {
			return f, fmt.Errorf("event type glob %q is not valid: want a pattern such as invoice.* or !invoice.draft", g)
		}
		if negated {
			f.exclude = append(f.exclude, bare)
		} else {
			f.include = append(f.include, bare)
		}
	}
	return f, nil
}

func (f typeFilter) match(eventType string) bool {
	hit := func(globs []string) bool {
		for _, g := range globs {
			if ok, _ := queue.MatchType(g, eventType); ok { // patterns were checked when they were read
				return true
			}
		}
		return false
	}
	return (len(f.include) == 0 || hit(f.include)) && !hit(f.exclude)
}

// payloadJSON is the payload as JSON: as it came, or made from a form. A form field with several values becomes an array.
func payloadJSON(h http.Header, body []byte) ([]byte, bool) {
	contentType := h.Get("Content-Type")
	if strings.HasPrefix(contentType, formType) {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, false
		}
		object := make(map[string]any, len(form))
		for name, values := range form {
			if len(values) == 1 {
				object[name] = values[0]
			} else {
				object[name] = values
			}
		}
		raw, err := json.Marshal(object)
		return raw, err == nil
	}
	return body, carriesJSON(contentType, body)
}
