package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sandbox"
)

// behaviour is how an application takes an event.
type behaviour int

const (
	steady   behaviour = iota // takes it
	stumbles                  // fails with 500 at the first attempt
	hangs                     // does not answer the first attempt
	hangsUp                   // closes the connection of the first attempt
	broken                    // fails with 500 each time
	rejects                   // says 422 each time: it does not want such an event
)

// delivered is an event as an application reads it: by its own code, without any of the gateway's.
type delivered struct {
	source, eventID string
	enriched        bool // it has a result of VerifEye in it
}

// reader verifies a request to an application and reads the event.
type reader func(h http.Header, body []byte, now time.Time) (delivered, error)

// application is the software behind the gateway. It notes what it gets.
type application struct {
	name    string
	address string
	now     func() time.Time
	read    reader

	serving sync.WaitGroup
	mu      sync.Mutex
	server  *http.Server
	down    bool // it answers 503
	plans   map[string]behaviour
	got     map[string]*reception // by webhook-id
	faults  []string              // what must not happen, in words
}

// reception is what an application got under one webhook-id.
type reception struct {
	delivered
	tries     int
	confirmed int // answered with 200
}

func startApplication(ctx context.Context, name string, now func() time.Time, read reader) (*application, error) {
	a := &application{name: name, now: now, read: read, plans: make(map[string]behaviour), got: make(map[string]*reception)}
	l, err := sandbox.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting application %s: %w", name, err)
	}
	a.address = l.Addr().String()
	a.serve(l)
	return a, nil
}

func (a *application) serve(l net.Listener) {
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.mu.Lock()
	a.server = server
	a.mu.Unlock()
	a.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.fault("the application %s stopped: %v", a.name, err)
		}
	})
}

// plan says how it will take an event.
func (a *application) plan(eventID string, b behaviour) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plans[eventID] = b
}

// overload makes it answer 503 from now on, or no longer.
func (a *application) overload(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = on
}

// crash closes its port and all connections.
func (a *application) crash() error {
	a.mu.Lock()
	server := a.server
	a.mu.Unlock()
	if err := server.Close(); err != nil {
		return fmt.Errorf("crashing application %s: %w", a.name, err)
	}
	a.serving.Wait()
	return nil
}

// restart opens its port again.
func (a *application) restart(ctx context.Context) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", a.address)
	if err != nil {
		return fmt.Errorf("restarting application %s: %w", a.name, err)
	}
	a.overload(false)
	a.serve(l)
	return nil
}

func (a *application) stop() error { return a.crash() }

func (a *application) fault(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

const maxDelivery = 1 << 20

// ServeHTTP takes a delivery as an application should: verify, take note, answer.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.overloaded() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "overloaded", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxDelivery))
	if err != nil {
		return // the gateway is gone, or this application is
	}
	event, err := a.read(r.Header, body, a.now())
	if err != nil {
		a.fault("%s got a request that does not verify: %v", a.name, err)
		http.Error(w, "not verified", http.StatusUnauthorized)
		return
	}
	id := r.Header.Get("Webhook-Id")
	b, try := a.note(id, event)
	if !a.work(r.Context(), id) {
		return
	}
	switch {
	case b == rejects:
		http.Error(w, `{"error":"this kind of event is not supported"}`, http.StatusUnprocessableEntity)
	case b == broken, b == stumbles && try == 1:
		http.Error(w, `{"error":"database is locked"}`, http.StatusInternalServerError)
	case b == hangs && try == 1:
		<-r.Context().Done()
	case b == hangsUp && try == 1:
		panic(http.ErrAbortHandler)
	default:
		a.confirm(id)
		w.WriteHeader(http.StatusOK)
	}
}

func (a *application) overloaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.down
}

func (a *application) note(id string, event delivered) (behaviour, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.got[id]
	if !ok {
		r = &reception{delivered: event}
		a.got[id] = r
	}
	r.tries++
	return a.plans[event.eventID], r.tries
}

func (a *application) confirm(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got[id].confirmed++
}

// work takes the time that a slow application takes. It reports false if the caller gave up meanwhile.
func (a *application) work(ctx context.Context, id string) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, id) // it never fails
	timer := time.NewTimer(time.Duration(30+h.Sum32()%120) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// receptions returns what it got.
func (a *application) receptions() (got map[string]reception, faults []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got = make(map[string]reception, len(a.got))
	for id, r := range a.got {
		got[id] = *r
	}
	return got, append([]string(nil), a.faults...)
}

// resultAPI plays VerifEye's API, from which the result of a session is fetched, and the switch with which the reader of the demo turns the application off and on.
type resultAPI struct {
	address string
	key     string
	server  *http.Server
	mux     *http.ServeMux
	serving sync.WaitGroup

	mu    sync.Mutex
	asked map[string]int
	late  map[string]bool
	err   error
}

func startResultAPI(ctx context.Context, key string) (*resultAPI, error) {
	l, err := sandbox.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting the result API: %w", err)
	}
	api := &resultAPI{
		address: l.Addr().String(), key: key, mux: http.NewServeMux(), asked: make(map[string]int), late: make(map[string]bool),
	}
	api.mux.HandleFunc("GET /get-session-result", api.result)
	api.server = &http.Server{Handler: api.mux, ReadHeaderTimeout: 10 * time.Second}
	api.serving.Go(func() {
		if err := api.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			api.mu.Lock()
			api.err = err
			api.mu.Unlock()
		}
	})
	return api, nil
}

// delay makes the result of a session unavailable at the first request for it.
func (api *resultAPI) delay(session string) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.late[session] = true
}

func (api *resultAPI) result(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != api.key {
		http.Error(w, `{"error":"unknown key"}`, http.StatusUnauthorized)
		return
	}
	session := r.URL.Query().Get("verificationSessionId")
	api.mu.Lock()
	api.asked[session]++
	early := api.late[session] && api.asked[session] == 1
	api.mu.Unlock()
	if early {
		http.Error(w, `{"error":"not ready"}`, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"verificationSessionId": session, "result": "passed", "estimatedAge": 34}
	_ = json.NewEncoder(w).Encode(answer) // a gateway that is gone asks again
}

// control adds the switch.
func (api *resultAPI) control(a *application) {
	for path, down := range map[string]bool{"POST /application/down": true, "POST /application/up": false} {
		api.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			a.overload(down)
			_, _ = io.WriteString(w, "the application "+a.name+" answers "+strconv.Itoa(map[bool]int{true: 503, false: 200}[down])+" from now on\n")
		})
	}
}

func (api *resultAPI) stop() error {
	err := api.server.Close()
	api.serving.Wait()
	return errors.Join(err, api.err)
}

var _ http.Handler = (*application)(nil)
