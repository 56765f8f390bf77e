package verifiers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Example returns an unsigned request of the given type as the provider would send it at that time; the most usual one if eventType is empty. Where the provider's
// Spec has no example of the type, the most usual one is sent under it, if its body shows the type. Ids are made from the time.
func (p *Provider) Example(eventType string, at time.Time) (*Request, error) {
	if len(p.spec.Examples) == 0 {
		return nil, errNoExample
	}
	e := &p.spec.Examples[0]
	if eventType == "" {
		eventType = e.Type
	}
	found := eventType == e.Type || strings.Contains(e.Body, "{{type}}") || strings.Contains(fmt.Sprint(e.Headers), "{{type}}")
	for i := range p.spec.Examples {
		if p.spec.Examples[i].Type == eventType {
			e, found = &p.spec.Examples[i], true
			break
		}
	}
	if !found {
		return nil, fmt.Errorf("no example of type %q: expected %s", eventType, strings.Join(p.exampleTypes(), ", "))
	}
	fill := exampleFiller(p.spec.ID, eventType, at)
	r := &Request{
		Method: e.Method, Body: []byte(encodeParts(fill.Replace(e.Body))), At: at, Header: http.Header{},
		URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/", RawQuery: fill.Replace(e.Query)},
	}
	if r.Method == "" {
		r.Method = p.spec.Methods[0]
	}
	contentType := e.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	r.Header.Set("Content-Type", contentType)
	for name, v := range e.Headers {
		r.Header.Set(name, fill.Replace(v))
	}
	return r, nil
}

// encodeParts writes {{base64 text}} as base64, and {{form_base64 text}} as base64 that is escaped for a form: bodies in which the event is wrapped.
func encodeParts(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		inner, after, ok := strings.Cut(rest, "}}")
		name, text, ok2 := strings.Cut(inner, " ")
		encoded := base64.StdEncoding.EncodeToString([]byte(text))
		switch {
		case ok && ok2 && name == "base64":
			b.WriteString(encoded)
		case ok && ok2 && name == "base64url":
			b.WriteString(base64.RawURLEncoding.EncodeToString([]byte(text)))
		case ok && ok2 && name == "form_base64":
			b.WriteString(url.QueryEscape(encoded))
		default: // two braces that mean nothing here, as in nested JSON
			b.WriteString("{{")
			after = rest
		}
		s = after
	}
}

func (p *Provider) exampleTypes() []string {
	var types []string
	for _, e := range p.spec.Examples {
		types = append(types, e.Type)
	}
	return types
}

func exampleFiller(provider, eventType string, at time.Time) *strings.Replacer {
	sum := sha256.Sum256([]byte(provider + "\x00" + eventType + "\x00" + strconv.FormatInt(at.UnixNano(), 10)))
	id := hex.EncodeToString(sum[:])
	uuid := id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-a" + id[17:20] + "-" + id[20:32]
	return strings.NewReplacer(
		"{{id}}", id[:24], "{{uuid}}", uuid, "{{type}}", eventType,
		"{{unix}}", strconv.FormatInt(at.Unix(), 10), "{{unix_ms}}", strconv.FormatInt(at.UnixMilli(), 10),
		"{{rfc3339}}", at.UTC().Format(time.RFC3339),
	)
}
