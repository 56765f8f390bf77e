package caddymodule

import (
	"fmt"
	"net/http"
	"time"
)

// dashboardNews is how often a page learns that something happened, at most.
const dashboardNews = 500 * time.Millisecond

// Live implements [dashboard.Backend]. Beside the filters of a tail it takes event, the gateway's id of one.
func (b *dashboardBackend) Live(w http.ResponseWriter, r *http.Request, user string) {
	g, err := activeGateway(r.Context(), user)
	if err == nil {
		err = streamNews(w, r, g)
	}
	if err != nil {
		writeAPIProblem(w, problemOf(err))
	}
}

func streamNews(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	event := p.text("event")
	want, err := tailFilter(p, g.app)
	if err != nil {
		return err
	}
	t, leave, ok := live.subscribe(func(i *tailItem) bool { return (event == "" || i.Event == event) && want(i) })
	if !ok {
		writeAPIProblem(w, &apiProblem{Status: http.StatusServiceUnavailable, Code: "too_many_tails", Detail: fmt.Sprintf("%d clients look on already", maxTails)})
		return nil
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	news := &newsStream{eventStream: eventStream{w: newPatientWriter(w, g.app.ctx)}, happened: map[string]int{}}
	news.comment("live")
	news.follow(r, g, t)
	return nil
}

// newsStream tells a page what kinds of things happened, and how many of each: the page asks for the rest itself.
type newsStream struct {
	eventStream
	happened map[string]int
}

// follow sends news until the client leaves or the configuration does.
func (s *newsStream) follow(r *http.Request, g *gateway, t *tail) {
	heartbeat := time.NewTicker(tailHeartbeat)
	defer heartbeat.Stop()
	due := time.NewTimer(0)
	due.Stop()
	defer due.Stop()
	for s.err == nil {
		select {
		case item := <-t.items:
			if len(s.happened) == 0 {
				due.Reset(dashboardNews)
			}
			s.happened[item.Kind]++
		case <-due.C:
			s.send("change", s.happened)
			clear(s.happened)
		case <-heartbeat.C:
			s.comment("still here")
		case <-g.app.serving.Done(): // a reload or the end: the server must not wait for its clients
			s.send("end", struct{}{})
			return
		case <-r.Context().Done():
			return
		}
	}
}
