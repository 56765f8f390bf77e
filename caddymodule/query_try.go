package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// errCannotTry means that no example event can be made for a source.
var errCannotTry = errors.New("no test event can be made")

const (
	trialSource = "test"              // of the event that a destination is tried with
	trialType   = "sluice.test"       // its type
	trialAddr   = "127.0.0.1:9"       // the client of a test event: this process
	trialBase   = "http://localhost/" // its address where a source has no public_url
)

// testSendView is what became of a test event.
type testSendView struct {
	Source     string   `json:"source"`
	Type       string   `json:"type,omitempty"`
	Status     int      `json:"status"`
	Result     string   `json:"result"`
	Reason     string   `json:"reason,omitempty"`
	Event      queue.ID `json:"event,omitempty"`
	EventID    string   `json:"event_id,omitempty"`
	Size       int      `json:"size,omitempty"`
	DurationMS float64  `json:"duration_ms"`
}

// trialWriter is the ResponseWriter of a test event. The source's handler tells it what the answer does not say.
type trialWriter struct {
	callRecorder
	view testSendView
}

// noteAccepted tells the sender of a test event what became of it.
func noteAccepted(w http.ResponseWriter, result string, e *queue.NewEvent, receipt queue.Receipt) {
	if t, ok := w.(*trialWriter); ok {
		t.view.Result, t.view.Event, t.view.EventID, t.view.Type = result, receipt.ID, e.EventID, e.Type
	}
}

func noteFailed(w http.ResponseWriter, f *failure) {
	if t, ok := w.(*trialWriter); ok {
		t.view.Result, t.view.Reason = f.result, f.reason
	}
}

// TestSource signs an example event with the source's first live secret and hands it to the source's handler, which treats it as any other.
func (g *gateway) TestSource(ctx context.Context, name, eventType string) (testSendView, error) {
	h := g.app.source(name)
	if h == nil {
		return testSendView{}, fmt.Errorf("source %q: %w", name, queue.ErrNotFound)
	}
	started := now()
	r, err := h.testRequest(eventType, started)
	if err != nil {
		return testSendView{}, err
	}
	req, err := sender.HTTPRequest(ctx, r, h.trialAddress(started))
	if err != nil {
		return testSendView{}, err
	}
	req.RemoteAddr, req.RequestURI = trialAddr, req.URL.RequestURI()
	w := &trialWriter{callRecorder: callRecorder{header: http.Header{}, status: http.StatusOK}, view: testSendView{Source: name, Type: eventType, Size: len(r.Body)}}
	if err := h.ServeHTTP(w, req, nil); err != nil {
		return testSendView{}, fmt.Errorf("test event of %s: %w", name, err)
	}
	w.view.Status, w.view.DurationMS = w.status, milliseconds(now().Sub(started))
	if w.view.Result == "" {
		return testSendView{}, fmt.Errorf("%w: %s took the example for a handshake", errCannotTry, name)
	}
	g.audit(ctx, "test_source", name, w.view.Result)
	return w.view, nil
}

// testRequest is a signed example of the source's provider.
func (h *Handler) testRequest(eventType string, at time.Time) (*verifiers.Request, error) {
	m := &sender.Message{Provider: h.provider, Type: eventType, To: h.trialAddress(at), SignedURL: h.trialSigned(at), At: at, Header: http.Header{}}
	if live := h.secrets.get(at); len(live) > 0 {
		m.Secret = live[0]
	}
	if h.token != nil && h.token.place == "header" {
		m.Header.Set(h.token.name, h.token.value(at))
	}
	r, err := m.Build()
	switch {
	case errors.Is(err, verifiers.ErrCannotSign):
		return nil, fmt.Errorf("%w: only %s can sign for source %s; let the provider send one", errCannotTry, h.provider.Spec().ID, h.Name)
	case errors.Is(err, sender.ErrNoExample):
		return nil, fmt.Errorf("%w: provider %s has no example", errCannotTry, h.provider.Spec().ID)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCannotTry, err)
	}
	return r, nil
}

// trialAddress is where a test event goes, with the token that the source asks for in it.
func (h *Handler) trialAddress(at time.Time) *url.URL {
	u, err := url.Parse(trialBase)
	if err != nil { // a constant
		panic(err)
	}
	if base := h.rules.publicURL; base != nil {
		u.Scheme, u.Host = base.Scheme, base.Host
	}
	if h.token != nil {
		switch h.token.place {
		case "path":
			u.Path = "/" + h.token.value(at)
		case "query":
			u.RawQuery = url.Values{h.token.name: {h.token.value(at)}}.Encode()
		}
	}
	return u
}

// trialSigned is that address as the provider knows it.
func (h *Handler) trialSigned(at time.Time) *url.URL {
	u := h.trialAddress(at)
	if base := h.rules.publicURL; base != nil {
		u = base.JoinPath(u.Path)
		u.RawQuery = h.trialAddress(at).RawQuery
	}
	return u
}

// value is one live token.
func (g *tokenGuard) value(at time.Time) string {
	if live := g.secrets.get(at); len(live) > 0 {
		return string(live[0].Bytes())
	}
	return ""
}

// trialView is what a destination answered to a test event.
type trialView struct {
	Delivered  bool    `json:"delivered"`
	Status     int     `json:"status,omitempty"`
	Class      string  `json:"class,omitempty"`
	Error      string  `json:"error,omitempty"`
	Response   string  `json:"response,omitempty"`
	DurationMS float64 `json:"duration_ms"`
}

// TestDestination makes one attempt at a destination with an event that is not stored. It goes past the queue: pause, breaker and limits do not hold it back,
// and it does not count for them.
func (g *gateway) TestDestination(ctx context.Context, name string) (trialView, error) {
	d := g.app.allDestinations()[name]
	if d == nil {
		return trialView{}, fmt.Errorf("%w: %q is not configured", delivery.ErrUnknownDestination, name)
	}
	at := now()
	body, err := json.Marshal(map[string]any{"test": true, "sent_at": at.UTC().Format(time.RFC3339), "message": "A test from the webhook gateway. Nothing happened."})
	if err != nil {
		return trialView{}, fmt.Errorf("test event: %w", err)
	}
	timeout := d.policy.Timeout
	if timeout == 0 {
		timeout = delivery.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := d.Forward(ctx, &delivery.Try{
		Attempt: 1, At: at, Delivery: queue.Delivery{Destination: name},
		Event: &queue.Event{
			ID: queue.ID(max(1, at.UnixMicro())), Source: trialSource, Provider: "sluice", ReceivedAt: at, EventID: "test_" + rand.Text(), Type: trialType, Time: at, //nolint:gosec // not negative
			Method: http.MethodPost, URL: trialBase, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, SecretIndex: -1,
		},
	})
	view := trialView{
		Status: result.Status, Class: result.Class, Error: result.Error, DurationMS: milliseconds(result.Latency),
		Response: string(bytes.ToValidUTF8(result.Response, []byte("�"))),
	}
	if view.Class == "" && view.Status/100 == 3 {
		view.Class = delivery.ClassRedirect
	}
	if view.Class == "" && (view.Status < http.StatusOK || view.Status >= http.StatusMultipleChoices) {
		view.Class = delivery.ClassStatus
	}
	view.Delivered = view.Class == ""
	g.audit(ctx, "test_destination", name, fmt.Sprintf("status %d %s", view.Status, view.Class))
	return view, nil
}

func postTestSource(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	eventType := p.text("type")
	if err := p.done(); err != nil {
		return err
	}
	view, err := g.TestSource(r.Context(), r.PathValue("name"), eventType)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}

func postTestDestination(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	view, err := g.TestDestination(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}
