package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

// archivedEvent is an event in an export: the attributes of its CloudEvent, and extension attributes with what else it takes to make the same event again. One line
// of JSON holds one of them, with the payload as `data` or `data_base64`.
type archivedEvent struct {
	cloudEvent
	GatewayID   string `json:"gatewayid"`               // wh_...
	ReceivedAt  string `json:"receivedat"`              // RFC 3339
	Method      string `json:"requestmethod,omitempty"` // of the request that brought it
	URL         string `json:"requesturl,omitempty"`    // secrets in it are masked
	Header      string `json:"requestheader,omitempty"` // a JSON object of lists, in a string because attributes have no structure; without those that carry secrets
	ClientIP    string `json:"clientip,omitempty"`
	Undelivered string `json:"undelivered,omitempty"` // destinations whose delivery was not settled, separated by spaces
	Payload     string `json:"payloadstate,omitempty"`
}

// States of a payload that is not in an export as it came; an import takes none of them.
const (
	payloadHidden  = "hidden"  // the source shows no payloads
	payloadMasked  = "masked"  // parts of it are replaced
	payloadDamaged = "damaged" // the store cannot read it
)

// archive makes an event's line of an export, newline included. compact writes JSON payloads as JSON even if that means leaving out blanks between them; else one that
// has line breaks is kept byte for byte in base64.
func (g *gateway) archive(e *queue.Event, v *eventView, p *privacy, compact bool) ([]byte, error) {
	contentType := e.Header.Get("Content-Type")
	line := archivedEvent{
		cloudEvent: newCloudEvent(g.app.shown(e), contentType), GatewayID: e.ID.String(), ReceivedAt: e.ReceivedAt.UTC().Format(time.RFC3339Nano),
		Method: e.Method, URL: p.address(e.URL, queryIsPayload(e.Method, len(e.Body))), ClientIP: e.ClientIP, Undelivered: strings.Join(unsettled(v), " "),
	}
	header := p.header(e.Header)
	for name := range header {
		if slices.Equal(header[name], []string{maskText}) {
			delete(header, name)
		}
	}
	if len(header) > 0 {
		raw, err := json.Marshal(header)
		if err != nil {
			return nil, fmt.Errorf("headers of %s: %w", e.ID, err)
		}
		line.Header = string(raw)
	}
	body, _, masked, err := p.shownPayload(e)
	switch {
	case errors.Is(err, errHidden):
		body, line.Payload = nil, payloadHidden
	case err != nil:
		return nil, fmt.Errorf("payload of %s: %w", e.ID, err)
	case masked, g.app.derived(e.Source, e.Provider).any(): // nor can the same event be made of it again
		line.Payload = payloadMasked
	}
	if len(e.Body) == 0 {
		body = nil // a payload that is the query stands in the address, and is taken from there again
	}
	return line.encode(body, compact)
}

func unsettled(v *eventView) []string {
	var names []string
	for i := range v.Deliveries {
		if !v.Deliveries[i].State.Settled() {
			names = append(names, v.Deliveries[i].Destination)
		}
	}
	return names
}

// encode writes the line.
func (a *archivedEvent) encode(payload []byte, compact bool) ([]byte, error) {
	asJSON := utf8.Valid(payload) && carriesJSON(a.DataContentType, payload)
	if asJSON && compact {
		var b bytes.Buffer
		if err := json.Compact(&b, payload); err != nil {
			return nil, fmt.Errorf("payload of %s: %w", a.GatewayID, err)
		}
		payload = b.Bytes()
	}
	// only what survives a line of JSON unchanged stands there as it is
	asJSON = asJSON && !bytes.ContainsAny(payload, "\r\n") && len(bytes.TrimSpace(payload)) == len(payload)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", a.GatewayID, err)
	}
	b.Truncate(b.Len() - len("}\n"))
	switch {
	case len(payload) == 0:
	case asJSON:
		b.WriteString(`,"data":`)
		b.Write(payload)
	default:
		b.WriteString(`,"data_base64":"`)
		b.WriteString(base64.StdEncoding.EncodeToString(payload))
		b.WriteByte('"')
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// errArchive means that a line is not an event that can be stored; the text says why.
var errArchive = errors.New("line cannot be imported")

// parseArchived reads a line of an export, or any CloudEvent in JSON, and its payload.
func parseArchived(line []byte) (a archivedEvent, payload []byte, err error) {
	if !json.Valid(line) { // a payload that may just stand in a line is one level too deep for our own bound with the line around it
		return a, nil, fmt.Errorf("%w: it is not JSON", errArchive)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, nil, fmt.Errorf("%w: it is not a CloudEvent in JSON", errArchive) // the decoder's text may quote the line
	}
	switch {
	case a.SpecVersion != "1.0":
		return a, nil, fmt.Errorf("%w: specversion %q, want 1.0", errArchive, truncate(a.SpecVersion, 20))
	case a.ID == "" || a.Source == "" || a.Type == "":
		return a, nil, fmt.Errorf("%w: a CloudEvent has an id, a source and a type", errArchive)
	case len(a.ID) > maxArchivedID:
		return a, nil, fmt.Errorf("%w: id is longer than %d bytes", errArchive, maxArchivedID)
	case a.Payload != "":
		return a, nil, fmt.Errorf("%w: its payload was %s when it was exported", errArchive, truncate(a.Payload, 20))
	}
	if data := gjson.GetBytes(line, "data_base64"); data.Exists() {
		if payload, err = base64.StdEncoding.DecodeString(data.String()); err != nil {
			return a, nil, fmt.Errorf("%w: data_base64 is not base64", errArchive)
		}
		return a, payload, nil
	}
	if data := gjson.GetBytes(line, "data"); data.Exists() {
		if data.Type == gjson.String && !strings.Contains(a.DataContentType, "json") && a.DataContentType != "" {
			return a, []byte(data.String()), nil // a text
		}
		payload = []byte(data.Raw)
	}
	return a, payload, nil
}

// maxArchivedID is far above what any provider uses, and below what a key of the store takes.
const maxArchivedID = 1024

// sourceName is the name of the source in an archived event's `source`; empty if it is not from this gateway or one like it.
func (a *archivedEvent) sourceName() string {
	escaped, ok := strings.CutPrefix(a.Source, "/webhooks/")
	name, err := url.PathUnescape(escaped)
	if !ok || err != nil {
		return ""
	}
	return name
}

// event makes the event of a line for a source. It arrives now; when it happened, or first arrived, is its time.
func (a *archivedEvent) event(payload []byte, source, provider string, at time.Time) (queue.Event, error) {
	e := queue.Event{
		Source: source, Provider: provider, ReceivedAt: at.Truncate(time.Millisecond), EventID: a.ID, Type: a.Type, Subject: a.Subject,
		Method: a.Method, URL: a.URL, Header: http.Header{}, Body: payload, ClientIP: a.ClientIP, SecretIndex: -1,
		TraceParent: a.TraceParent, TraceState: a.TraceState,
	}
	if e.Method == "" {
		e.Method = http.MethodPost
	}
	if e.URL == "" {
		e.URL = "sluice:import"
	}
	if a.Time != "" {
		happened, err := time.Parse(time.RFC3339Nano, a.Time)
		if err != nil {
			return e, fmt.Errorf("%w: time %q is not RFC 3339", errArchive, truncate(a.Time, 40))
		}
		e.Time = happened.UTC()
	}
	if a.Header != "" {
		var header map[string][]string
		if err := json.Unmarshal([]byte(a.Header), &header); err != nil {
			return e, fmt.Errorf("%w: requestheader is not a JSON object of lists", errArchive)
		}
		for name, values := range header {
			e.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if a.DataContentType != "" && e.Header.Get("Content-Type") == "" {
		e.Header.Set("Content-Type", a.DataContentType)
	}
	return e, nil
}
