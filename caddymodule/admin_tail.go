package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// tailHeartbeat is after how long without news a comment is sent, so that neither side takes the other for gone.
const tailHeartbeat = 15 * time.Second

// getTail sends what happens as server-sent events, one per item and named by its kind; "missed" tells how many the client was too slow for, "end" that
// the configuration is on its way out and the client should come back.
func getTail(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	want, err := tailFilter(p, g.app)
	if err != nil {
		return err
	}
	t, leave, ok := live.subscribe(want)
	if !ok {
		writeAPIProblem(w, &apiProblem{Status: http.StatusServiceUnavailable, Code: "too_many_tails", Detail: fmt.Sprintf("%d clients look on already", maxTails)})
		return nil
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no")
	stream := &eventStream{w: newPatientWriter(w, g.app.ctx)}
	stream.comment("tail")
	if r.Method == http.MethodHead {
		return nil
	}
	heartbeat := time.NewTicker(tailHeartbeat)
	defer heartbeat.Stop()
	var missed uint64
	for stream.err == nil {
		select {
		case item := <-t.items:
			stream.send(item.Kind, item)
		case <-heartbeat.C:
			stream.comment("still here")
		case <-g.app.ctx.Done(): // a reload or the end: this admin server must not wait for its clients
			stream.send("end", struct{}{})
			return nil
		case <-r.Context().Done():
			return nil
		}
		if n := t.missed.Load(); n > missed {
			stream.send("missed", map[string]uint64{"count": n - missed})
			missed = n
		}
	}
	return nil // the client is gone; it asks again
}

// tailFilter reads what a client wants to see. It looks at items as they are shown: who follows them with a pattern would find out a masked type letter by letter.
func tailFilter(p *params, app *App) (func(*tailItem) bool, error) {
	source, provider, destination, glob := p.text("source"), p.text("provider"), p.text("destination"), p.text("type")
	kinds, results, reason := p.manyOf("kind", tailKinds), p.manyOf("result", tailResults), p.oneOf("error", tailReasons)
	if err := checkGlob(glob); err != nil {
		p.fail("%v", err)
	}
	if h := app.source(source); h != nil && glob != "" && app.derived(source, h.provider.Spec().ID).kind {
		p.fail("type %q finds nothing: source %s masks the types of its events", glob, source)
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	return func(i *tailItem) bool {
		if glob != "" {
			if ok, _ := queue.MatchType(glob, i.Type); !ok { // the glob was checked above
				return false
			}
		}
		return (source == "" || i.Source == source) && (provider == "" || i.Provider == provider) &&
			(destination == "" || i.Destination == destination) && (reason == "" || i.Reason == reason) &&
			(len(kinds) == 0 || slices.Contains(kinds, i.Kind)) && (len(results) == 0 || slices.Contains(results, i.Result))
	}, nil
}

// eventStream writes server-sent events. The first failure stays.
type eventStream struct {
	w   io.Writer
	err error
}

func (s *eventStream) comment(text string) { s.write(": " + text + "\n\n") }

func (s *eventStream) send(event string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		s.err = err
		return
	}
	s.write("event: " + event + "\ndata: " + string(raw) + "\n\n")
}

func (s *eventStream) write(text string) {
	if s.err != nil {
		return
	}
	_, s.err = io.WriteString(s.w, text)
}
