package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// rig is an engine over the reference store, within a synctest bubble: time is simulated and passes when everybody waits.
type rig struct {
	t        *testing.T
	store    queue.Store
	memory   *memstore.Store
	engine   *Engine
	observer *recorder
	options  Options
	began    time.Time
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, memory: memstore.New(memstore.Options{}), observer: &recorder{}, began: time.Now()}
	r.options = Options{Store: r.memory, Observer: r.observer, Random: func() float64 { return 0 }}
	for _, f := range change {
		f(&r.options)
	}
	r.store = r.options.Store
	r.engine = NewEngine(r.options)
	return r
}

// bubble runs a test in simulated time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func (r *rig) start(routes ...*Destination) *Generation {
	r.t.Helper()
	g := r.engine.Attach(table(routes...))
	if err := r.engine.Start(); err != nil {
		r.t.Fatal("start:", err)
	}
	return g
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.engine.Close(context.Background()); err != nil {
		r.t.Error("close:", err)
	}
}

// restart closes the engine and makes another one over the same store.
func (r *rig) restart(routes ...*Destination) *Generation {
	r.t.Helper()
	r.close()
	r.engine = NewEngine(r.options)
	return r.start(routes...)
}

func table(destinations ...*Destination) *Routes {
	routes := &Routes{Destinations: map[string]*Destination{}}
	for _, d := range destinations {
		routes.Destinations[d.Name] = d
	}
	return routes
}

// enqueue stores one event for each of the destinations, and returns its id.
func (r *rig) enqueue(destinations ...string) queue.ID {
	r.t.Helper()
	return r.enqueueKeyed("", destinations...)
}

func (r *rig) enqueueKeyed(orderKey string, destinations ...string) queue.ID {
	r.t.Helper()
	event := queue.NewEvent{Event: queue.Event{Source: "source", EventID: "evt", Type: "thing.happened", ReceivedAt: time.Now(), Body: []byte("{}")}}
	for _, d := range destinations {
		event.Deliveries = append(event.Deliveries, queue.NewDelivery{Destination: d, OrderKey: orderKey})
	}
	receipts, err := r.store.Enqueue(context.Background(), []queue.NewEvent{event})
	if err != nil {
		r.t.Fatal("enqueue:", err)
	}
	return receipts[0].ID
}

func (r *rig) delivery(id queue.ID, destination string) queue.Delivery {
	r.t.Helper()
	deliveries, err := r.memory.Deliveries(context.Background(), id)
	if err != nil {
		r.t.Fatal("deliveries:", err)
	}
	for _, d := range deliveries {
		if d.Destination == destination {
			return d
		}
	}
	r.t.Fatalf("event %s has no delivery for %q", id, destination)
	return queue.Delivery{}
}

func (r *rig) attempts(id queue.ID, destination string) []queue.Attempt {
	r.t.Helper()
	attempts, err := r.memory.Attempts(context.Background(), id, destination)
	if err != nil {
		r.t.Fatal("attempts:", err)
	}
	return attempts
}

func (r *rig) wantState(id queue.ID, destination string, want queue.State) {
	r.t.Helper()
	synctest.Wait()
	if d := r.delivery(id, destination); d.State != want {
		r.t.Errorf("delivery of %s to %s is %s, want %s (%+v)", id, destination, d.State, want, d)
	}
}

func (r *rig) status(name string) DestinationStatus {
	r.t.Helper()
	all, err := r.engine.Status(context.Background())
	if err != nil {
		r.t.Fatal("status:", err)
	}
	i := slices.IndexFunc(all, func(s DestinationStatus) bool { return s.Name == name })
	if i < 0 {
		r.t.Fatalf("no status of %q", name)
	}
	return all[i]
}

// sleep lets simulated time pass, and then everything come to rest.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// app is an application: it records the attempts that reach it and answers as told.
type app struct {
	mu     sync.Mutex
	tries  []Try
	at     []time.Time
	inside int
	most   int // attempts at the same time
	answer func(ctx context.Context, try *Try) Result
}

func answering(answer func(ctx context.Context, try *Try) Result) *app { return &app{answer: answer} }

func always(status int) *app {
	return answering(func(context.Context, *Try) Result { return Result{Status: status} })
}

// taking answers with a status after a time.
func taking(d time.Duration, status int) *app {
	return answering(func(ctx context.Context, _ *Try) Result {
		select {
		case <-time.After(d):
			return Result{Status: status}
		case <-ctx.Done():
			return Result{}
		}
	})
}

// hanging answers never.
func hanging() *app {
	return answering(func(ctx context.Context, _ *Try) Result {
		<-ctx.Done()
		return Result{}
	})
}

func (a *app) Forward(ctx context.Context, try *Try) Result {
	a.mu.Lock()
	a.tries, a.at = append(a.tries, *try), append(a.at, time.Now())
	a.inside++
	a.most = max(a.most, a.inside)
	answer := a.answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.inside--
	}()
	return answer(ctx, try)
}

func (a *app) set(answer func(ctx context.Context, try *Try) Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tries)
}

// events returns the ids of the attempts in their order.
func (a *app) events() (ids []queue.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tries {
		ids = append(ids, t.Event.ID)
	}
	return ids
}

// since returns when the attempts were made, counted from a moment.
func (a *app) since(start time.Time) (offsets []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.at {
		offsets = append(offsets, at.Sub(start))
	}
	return offsets
}

func (a *app) destination(name string, p Policy) *Destination {
	return &Destination{Name: name, Policy: p, Forwarder: a}
}

// recorder is an observer that keeps everything.
type recorder struct {
	mu       sync.Mutex
	attempts []AttemptReport
	settled  []SettledReport
	changes  []string
	failing  []error
}

func (o *recorder) AttemptFinished(r AttemptReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts = append(o.attempts, r)
}

func (o *recorder) DeliverySettled(r SettledReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = append(o.settled, r)
}

func (o *recorder) BreakerChanged(destination string, from, to BreakerState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes = append(o.changes, fmt.Sprintf("%s %s>%s", destination, from, to))
}

func (o *recorder) PauseChanged(destination string, paused bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes = append(o.changes, fmt.Sprintf("%s paused=%t", destination, paused))
}

func (o *recorder) StoreFailing(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing = append(o.failing, err)
}

func (o *recorder) noted() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.changes)
}
