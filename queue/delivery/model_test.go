package delivery

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
	"pgregory.net/rapid"
)

// modelKey identifies a delivery.
type modelKey struct {
	event       queue.ID
	destination string
}

// modelDelivery is what the reference model knows of a delivery.
type modelDelivery struct {
	orderKey string
	settled  queue.State // 0: not yet
	aside    bool
	due      time.Time // not before
	under    int       // attempts under way
	seen     int       // attempts that reached the application
	recorded int       // attempts that the store was told of
}

// model is the reference model: it sees what the store accepts and what reaches the applications, and notes every step that breaks a promise.
type model struct {
	mu         sync.Mutex
	deliveries map[modelKey]*modelDelivery
	paused     map[string]bool
	configured map[string]bool
	mode       map[string]string // of the application
	inside     map[string]int
	broken     []string
}

func (m *model) breach(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

// begins checks an attempt that reaches an application.
func (m *model) begins(try *Try, destination string) (mode string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := modelKey{try.Event.ID, destination}
	d := m.deliveries[key]
	if d == nil {
		m.breach("%v: attempt of a delivery that was never made", key)
		return "ok"
	}
	d.seen++
	d.under++
	m.inside[destination]++
	switch {
	case d.settled != 0:
		m.breach("%v: attempt after it was %s", key, d.settled)
	case d.under > 1:
		m.breach("%v: two attempts at once", key)
	case m.paused[destination]:
		m.breach("%v: attempt while its destination is paused", key)
	case !m.configured[destination]:
		m.breach("%v: attempt while its destination is not configured", key)
	case time.Now().Before(d.due):
		m.breach("%v: attempt %s before it is due", key, time.Until(d.due))
	case m.inside[destination] > modelConcurrency:
		m.breach("%v: %d attempts at once", key, m.inside[destination])
	}
	if d.orderKey == "" {
		return m.mode[destination]
	}
	for other, o := range m.deliveries {
		if other.destination != destination || o.orderKey != d.orderKey || other == key {
			continue
		}
		if o.under > 0 {
			m.breach("%v: attempt while %v of the same order key is under way", key, other)
		}
		if other.event < key.event && o.settled == 0 && !o.aside && !d.aside {
			m.breach("%v: attempt before the older %v of the same order key", key, other)
		}
	}
	return m.mode[destination]
}

func (m *model) ends(try *Try, destination string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside[destination]--
	if d := m.deliveries[modelKey{try.Event.ID, destination}]; d != nil {
		d.under--
	}
}

// handle is one process's view of the store. After a crash it answers nothing any more.
type handle struct {
	*queuetest.Faulty
	model *model

	mu      sync.Mutex
	crashed bool
	slow    time.Duration // that claims and settlements take, in parts before and after they happen
}

// alive takes the time of a call, and answers whether there is anybody to answer.
func (h *handle) alive() error {
	h.mu.Lock()
	slow := h.slow
	h.mu.Unlock()
	time.Sleep(slow)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.crashed {
		return queue.ErrClosed
	}
	return nil
}

func (h *handle) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	if err := h.alive(); err != nil {
		return nil, time.Time{}, err
	}
	claimed, next, err := h.Faulty.Claim(ctx, r)
	if gone := h.alive(); gone != nil {
		return nil, time.Time{}, gone
	}
	return claimed, next, err
}

func (h *handle) Settle(ctx context.Context, settlements []queue.Settlement) ([]error, error) {
	if err := h.alive(); err != nil {
		return nil, err
	}
	h.model.mu.Lock() // so that nobody sees the store's new state before the model has it
	defer h.model.mu.Unlock()
	lost, err := h.Faulty.Settle(ctx, settlements)
	for i := range lost {
		if lost[i] == nil {
			h.model.settles(&settlements[i])
		}
	}
	return lost, err
}

// settles notes what the store has accepted.
func (m *model) settles(s *queue.Settlement) {
	key := modelKey{s.Lease.Event, s.Lease.Destination}
	d := m.deliveries[key]
	if d.settled != 0 {
		m.breach("%v: settled as %s after it was %s", key, s.State, d.settled)
	}
	if s.Attempt != nil {
		d.recorded++
	} else if s.State != queue.StatePending {
		m.breach("%v: %s without an attempt", key, s.State)
	}
	d.due, d.aside = s.Due, d.aside || s.StepAside
	if s.State.Settled() {
		d.settled = s.State
	}
}

func (h *handle) slowDown(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slow = d
}

func (h *handle) crash() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashed = true
}

const (
	modelConcurrency = 3
	modelAttempts    = 4
)

var modelNames = []string{"a", "b", "c"}

// modelRun is one random history.
type modelRun struct {
	t      *rapid.T
	model  *model
	store  *memstore.Store
	handle *handle
	engine *Engine
	tables []*Generation
	shown  [][]string // destinations of the attached tables, in order
	events []queue.ID
}

// Forward of a modelApp answers as its mode says; "mixed" depends on the delivery and the number of the attempt.
type modelApp struct {
	model *model
	name  string
}

func (a *modelApp) Forward(ctx context.Context, try *Try) Result {
	mode := a.model.begins(try, a.name)
	defer a.model.ends(try, a.name)
	if mode == "mixed" {
		h := fnv.New32a()
		fmt.Fprint(h, try.Event.ID, a.name, try.Attempt)
		mode = []string{"ok", "fail", "fail", "gone", "slow", "hang", "broken", "panic"}[h.Sum32()%8]
	}
	switch mode {
	case "fail":
		return Result{Status: 503, RetryAfter: time.Second}
	case "gone":
		return Result{Status: 410}
	case "broken":
		return Result{Class: "transform", Permanent: true}
	case "panic":
		panic("as told")
	case "hang":
		<-ctx.Done()
		return Result{}
	case "slow":
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
			return Result{}
		}
	}
	return Result{Status: 200}
}

func (r *modelRun) boot() {
	r.handle = &handle{Faulty: queuetest.NewFaulty(r.store), model: r.model}
	r.engine = NewEngine(Options{Store: r.handle, Random: func() float64 { return 0.5 }})
	r.tables, r.shown = nil, nil
	r.attach(modelNames)
	if err := r.engine.Start(); err != nil {
		r.t.Fatal("start:", err)
	}
}

// attach makes a table with some of the destinations the active one.
func (r *modelRun) attach(names []string) {
	routes := &Routes{Destinations: map[string]*Destination{}}
	for _, name := range names {
		routes.Destinations[name] = &Destination{Name: name, Forwarder: &modelApp{r.model, name}, Policy: Policy{
			Timeout: 10 * time.Second, Concurrency: rapid.IntRange(1, modelConcurrency).Draw(r.t, "concurrency"),
			Auto:    rapid.Bool().Draw(r.t, "auto"),
			Breaker: BreakerPolicy{Failures: 3, Open: 20 * time.Second, Off: rapid.Bool().Draw(r.t, "breaker off")},
			Rate:    Rate{PerSecond: float64(rapid.IntRange(0, 3).Draw(r.t, "rate"))},
			Retry:   RetryPolicy{Backoff: Exponential{First: 2 * time.Second, Cap: time.Minute}, MaxAttempts: modelAttempts},
			Order:   OrderPolicy{Park: rapid.IntRange(0, 2).Draw(r.t, "park")},
		}}
	}
	r.shown = append(r.shown, names)
	r.configure(func() { r.tables = append(r.tables, r.engine.Attach(routes)) })
}

// configure changes what is configured. What is added may be used at once, what is taken away not after the change.
func (r *modelRun) configure(change func()) {
	active := map[string]bool{}
	if n := len(r.shown); n > 0 {
		for _, name := range r.shown[n-1] {
			active[name] = true
		}
	}
	r.model.mu.Lock()
	for name := range active {
		r.model.configured[name] = true
	}
	r.model.mu.Unlock()
	change()
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	r.model.configured = active
}

func (r *modelRun) detach() {
	if len(r.tables) == 0 {
		return
	}
	i := rapid.IntRange(0, len(r.tables)-1).Draw(r.t, "table")
	g := r.tables[i]
	r.tables, r.shown = slices.Delete(r.tables, i, i+1), slices.Delete(r.shown, i, i+1)
	r.configure(g.Detach)
}

func (r *modelRun) arrive() {
	key := rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(r.t, "order key")
	to := rapid.SliceOfNDistinct(rapid.SampledFrom(modelNames), 1, 3, rapid.ID[string]).Draw(r.t, "to")
	event := queue.NewEvent{Event: queue.Event{Source: "s", EventID: "e", ReceivedAt: time.Now()}}
	for _, name := range to {
		event.Deliveries = append(event.Deliveries, queue.NewDelivery{Destination: name, OrderKey: key})
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	receipts, err := r.store.Enqueue(context.Background(), []queue.NewEvent{event})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range to {
		r.model.deliveries[modelKey{receipts[0].ID, name}] = &modelDelivery{orderKey: key}
	}
	r.events = append(r.events, receipts[0].ID)
}

// pick chooses a delivery.
func (r *modelRun) pick() (key modelKey, ok bool) {
	if len(r.events) == 0 {
		return modelKey{}, false
	}
	key = modelKey{rapid.SampledFrom(r.events).Draw(r.t, "event"), rapid.SampledFrom(modelNames).Draw(r.t, "destination")}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	return key, r.model.deliveries[key] != nil
}

func (r *modelRun) leased(key modelKey) bool {
	deliveries, err := r.store.Deliveries(context.Background(), key.event)
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.ContainsFunc(deliveries, func(d queue.Delivery) bool {
		return d.Destination == key.destination && d.State == queue.StateDelivering
	})
}

func (r *modelRun) replay() {
	key, ok := r.pick()
	if !ok {
		return
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	d := r.model.deliveries[key]
	if r.leased(key) {
		return // the store takes the lease away; the attempt under way and the new one would overlap, as documented
	}
	if err := r.store.Replay(context.Background(), key.event, key.destination, d.orderKey); err != nil {
		r.t.Fatal(err)
	}
	d.settled, d.aside, d.due = 0, false, time.Time{}
}

func (r *modelRun) cancel() {
	key, ok := r.pick()
	if !ok {
		return
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	d := r.model.deliveries[key]
	if r.leased(key) {
		return // as with a replay: the next one of its key would not wait for the attempt under way
	}
	err := r.store.Cancel(context.Background(), key.event, key.destination)
	if (err == nil) != (d.settled == 0) || err != nil && !errors.Is(err, queue.ErrNotFound) {
		r.t.Fatalf("cancel of %v, which is %s: %v", key, d.settled, err)
	}
	if err == nil {
		d.settled = queue.StateCancelled
	}
}

func (r *modelRun) pause(name string, paused bool) {
	r.model.mu.Lock()
	r.model.paused[name] = false
	r.model.mu.Unlock()
	do := r.engine.Resume
	if paused {
		do = r.engine.Pause
	}
	if err := do(context.Background(), name); err != nil {
		r.t.Fatal(err)
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	r.model.paused[name] = paused
}

// stop ends the engine: in peace, impatiently, or by a crash that nothing of what is under way survives.
func (r *modelRun) stop(how string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if how != "peace" {
		cancel()
	}
	if how == "crash" {
		r.handle.crash()
	}
	r.handle.Heal()
	err := r.engine.Close(ctx)
	if how == "peace" && err != nil {
		r.t.Fatal("close:", err)
	}
}

// step does one random thing.
func (r *modelRun) step() {
	name := rapid.SampledFrom(modelNames).Draw(r.t, "of")
	switch rapid.SampledFrom([]string{
		"arrive", "arrive", "arrive", "arrive", "arrive", "mode", "mode", "time", "time", "time", "time", "pause", "resume",
		"attach", "detach", "replay", "cancel", "restart", "fault", "slow store",
	}).Draw(r.t, "step") {
	case "arrive":
		r.arrive()
	case "mode":
		mode := rapid.SampledFrom([]string{"ok", "fail", "gone", "slow", "hang", "broken", "mixed", "mixed"}).Draw(r.t, "mode")
		r.model.mu.Lock()
		r.model.mode[name] = mode
		r.model.mu.Unlock()
	case "time":
		time.Sleep(time.Duration(rapid.IntRange(1, 60000).Draw(r.t, "milliseconds")) * time.Millisecond)
	case "pause":
		r.pause(name, true)
	case "resume":
		r.pause(name, false)
	case "attach":
		if len(r.tables) < 4 {
			r.attach(rapid.SliceOfNDistinct(rapid.SampledFrom(modelNames), 0, 3, rapid.ID[string]).Draw(r.t, "names"))
		}
	case "detach":
		r.detach()
	case "replay":
		r.replay()
	case "cancel":
		r.cancel()
	case "restart":
		r.stop(rapid.SampledFrom([]string{"peace", "impatient", "crash"}).Draw(r.t, "how"))
		r.boot()
	case "slow store":
		r.handle.slowDown(time.Duration(rapid.IntRange(0, 3000).Draw(r.t, "milliseconds")) * time.Millisecond)
	case "fault":
		op := rapid.SampledFrom([]queuetest.Op{queuetest.OpClaim, queuetest.OpSettle}).Draw(r.t, "operation")
		r.handle.Inject(op, queuetest.Fault{Err: queue.ErrFailed, Times: rapid.IntRange(1, 6).Draw(r.t, "times")})
	}
	synctest.Wait()
}

// end lets everything come to its end, and compares.
func (r *modelRun) end() {
	r.handle.Heal()
	r.handle.slowDown(0)
	r.attach(modelNames)
	for _, name := range modelNames {
		r.pause(name, false)
		r.model.mu.Lock()
		r.model.mode[name] = "ok"
		r.model.mu.Unlock()
	}
	sleep(time.Hour)
	for _, name := range modelNames {
		d := r.engine.lookup(name)
		d.mu.Lock()
		if d.inFlight != 0 || d.unsettled != 0 {
			r.t.Errorf("%s: %d attempts and %d outcomes under way at the end", name, d.inFlight, d.unsettled)
		}
		d.mu.Unlock()
	}
	r.stop("peace")
	for _, id := range r.events {
		deliveries, err := r.store.Deliveries(context.Background(), id)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range deliveries {
			m := r.model.deliveries[modelKey{id, d.Destination}]
			if !d.State.Settled() || m.settled != d.State || d.Attempts != m.recorded || d.SeriesTries > modelAttempts || m.seen < m.recorded {
				r.t.Errorf("%s to %s ended as %+v, and the model as %+v", id, d.Destination, d, *m)
			}
		}
	}
}

// TestModel drives the engine through random histories of arrivals, failures, pauses, reloads, replays, faults of the store and crashes, in simulated time. Whatever
// happens: no delivery is lost or made after it was settled, order is kept within keys, and pauses, schedules and limits hold.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any // rapid ends a failed history by a panic, which belongs to its own goroutine
		bubble(t, func(*testing.T) {
			defer func() { failure = recover() }()
			history(rt)
		})
		if failure != nil {
			panic(failure)
		}
	})
}

// history makes one random history and checks it.
func history(t *rapid.T) {
	r := &modelRun{t: t, store: memstore.New(memstore.Options{}), model: &model{
		deliveries: map[modelKey]*modelDelivery{}, paused: map[string]bool{}, configured: map[string]bool{},
		mode: map[string]string{}, inside: map[string]int{},
	}}
	r.boot()
	defer func() { // one that failed half-way leaves nothing behind either
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.engine.Close(ctx) //nolint:errcheck // what matters was said before
	}()
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		r.step()
	}
	r.end()
	for _, breach := range r.model.broken {
		t.Error(breach)
	}
}
