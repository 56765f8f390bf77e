package caddymodule

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// The formats in which events are forwarded.
const (
	formatCloudEvents       = "cloudevents"        // CloudEvents 1.0, structured JSON (the default)
	formatCloudEventsBinary = "cloudevents_binary" // the untouched body with ce-* headers
	formatOriginal          = "original"           // the untouched method, query, headers and body
)

// message is the request to the application in the making.
type message struct {
	method string
	url    *url.URL // the destination's, with the provider's query in the original
	header http.Header
	body   []byte

	signsAddress bool // the signature covers the url
}

// cloudEvent holds the context attributes, in the order in which they are written. See https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md.
type cloudEvent struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Time            string `json:"time"`
	Subject         string `json:"subject,omitempty"`
	DataContentType string `json:"datacontenttype,omitempty"`
	Provider        string `json:"provider"`
	ContentEncoding string `json:"contentencoding,omitempty"` // of data_base64, as the header of that name
	TraceParent     string `json:"traceparent,omitempty"`
	TraceState      string `json:"tracestate,omitempty"`
}

func newCloudEvent(e *queue.Event, contentType string) cloudEvent {
	ce := cloudEvent{
		SpecVersion: "1.0", ID: e.EventID, Source: "/webhooks/" + url.PathEscape(e.Source), Type: e.Type, Subject: e.Subject,
		DataContentType: contentType, Provider: e.Provider, TraceParent: e.TraceParent, TraceState: e.TraceState,
	}
	if ce.Type == "" { // the attribute must not be empty
		ce.Type = e.Provider
	}
	at := e.Time
	if at.IsZero() {
		at = e.ReceivedAt
	}
	ce.Time = at.UTC().Format(time.RFC3339Nano)
	return ce
}

// render makes the message of an event, but for its address. payload is the event's body, or what an enrichment or transformation made of it (then replaced is true).
func render(format string, e *queue.Event, payload []byte, replaced bool) (message, error) {
	contentType := e.Header.Get("Content-Type")
	if replaced {
		contentType = "application/json"
	}
	switch format {
	case formatOriginal:
		m := message{method: cmp.Or(e.Method, http.MethodPost), header: originalHeader(e.Header), body: payload}
		if replaced {
			m.method = http.MethodPost
			m.header.Set("Content-Type", contentType)
			m.header.Del("Content-Encoding")
		}
		return m, nil
	case formatCloudEventsBinary:
		m := message{method: http.MethodPost, header: make(http.Header, 12), body: payload}
		if contentType != "" {
			m.header.Set("Content-Type", contentType)
		}
		if enc := e.Header.Get("Content-Encoding"); enc != "" && !replaced {
			m.header.Set("Content-Encoding", enc)
		}
		setBinaryAttributes(m.header, newCloudEvent(e, ""))
		return m, nil
	default:
		ce := newCloudEvent(e, contentType)
		if !replaced {
			ce.ContentEncoding = e.Header.Get("Content-Encoding")
		}
		body, err := structured(ce, payload)
		if err != nil {
			return message{}, err
		}
		return message{method: http.MethodPost, header: http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, body: body}, nil
	}
}

// structured writes the JSON event format. The payload's bytes are copied as they came, so that numbers and the order of fields survive.
func structured(ce cloudEvent, payload []byte) ([]byte, error) {
	isJSON := utf8.Valid(payload) && carriesJSON(ce.DataContentType, payload) // other text would make the envelope unreadable
	if isJSON {
		ce.ContentEncoding = ""
		if !strings.Contains(ce.DataContentType, "json") {
			ce.DataContentType = "application/json"
		}
	}
	var buf bytes.Buffer
	buf.Grow(len(payload)*4/3 + 512)
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ce); err != nil {
		return nil, fmt.Errorf("encoding attributes: %w", err)
	}
	buf.Truncate(buf.Len() - len("}\n"))
	switch {
	case len(payload) == 0:
	case isJSON:
		buf.WriteString(`,"data":`)
		buf.Write(bytes.TrimSpace(payload))
	default:
		buf.WriteString(`,"data_base64":"`)
		w := base64.NewEncoder(base64.StdEncoding, &buf)
		_, _ = w.Write(payload) // a bytes.Buffer takes everything
		_ = w.Close()
		buf.WriteByte('"')
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// carriesJSON reports whether a payload can stand as JSON in an envelope. A body that says it is something else counts only if it is plainly an object or array.
func carriesJSON(contentType string, payload []byte) bool {
	trimmed := bytes.TrimSpace(payload)
	if len(trimmed) == 0 || !verifiers.ValidJSON(trimmed) {
		return false
	}
	return strings.Contains(contentType, "json") || trimmed[0] == '{' || trimmed[0] == '['
}

func setBinaryAttributes(h http.Header, ce cloudEvent) {
	for _, attr := range []struct{ name, value string }{
		{"Ce-Specversion", ce.SpecVersion}, {"Ce-Id", ce.ID}, {"Ce-Source", ce.Source}, {"Ce-Type", ce.Type}, {"Ce-Time", ce.Time},
		{"Ce-Subject", ce.Subject}, {"Ce-Provider", ce.Provider}, {"Ce-Traceparent", ce.TraceParent}, {"Ce-Tracestate", ce.TraceState},
	} {
		if attr.value != "" {
			h.Set(attr.name, percentEncode(attr.value))
		}
	}
}

// percentEncode makes an attribute fit for a header, as the HTTP binding of CloudEvents wants it (section 3.1.3.2).
func percentEncode(s string) string {
	plain := func(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '%' }
	var b strings.Builder
	for i := range len(s) {
		if plain(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// hopByHop reports whether a header is one of the provider's connection or of the body's transfer; those mean nothing on another connection.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Expect":
		return true
	}
	return false
}

// withoutHopByHop returns a header of its own; the values are shared with h, and nobody may change them.
func withoutHopByHop(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if !hopByHop(name) {
			out[name] = values[:len(values):len(values)]
		}
	}
	for _, listed := range h["Connection"] {
		for name := range strings.SplitSeq(listed, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	return out
}

// originalHeader is the header as the provider sent it, without what a proxy in front of us added for the provider's connection, and without how the provider would
// like to have the answer encoded: it is we who read that.
func originalHeader(h http.Header) http.Header {
	out := withoutHopByHop(h)
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Accept-Encoding"} {
		out.Del(name)
	}
	return out
}
