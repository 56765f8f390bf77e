package delivery

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

const (
	modelConcurrency = 3
	modelAttempts    = 4
)

// placedKey is the order key whose deliveries have places of their own.
const placedKey = "placed"

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
	key := rapid.SampledFrom([]string{"", "k1", "k2", placedKey}).Draw(r.t, "order key")
	to := rapid.SliceOfNDistinct(rapid.SampledFrom(modelNames), 1, 3, rapid.ID[string]).Draw(r.t, "to")
	var at, notBefore time.Time
	if key == placedKey {
		at = time.Now().Add(-time.Duration(rapid.IntRange(0, 9000).Draw(r.t, "milliseconds ago")) * time.Millisecond)
		notBefore = at.Add(5 * time.Second)
	}
	event := queue.NewEvent{Event: queue.Event{Source: "s", EventID: "e", ReceivedAt: time.Now()}}
	for _, name := range to {
		event.Deliveries = append(event.Deliveries, queue.NewDelivery{Destination: name, OrderKey: key, OrderAt: at, NotBefore: notBefore})
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	receipts, err := r.store.Enqueue(context.Background(), []queue.NewEvent{event})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range to {
		r.model.deliveries[modelKey{receipts[0].ID, name}] = &modelDelivery{orderKey: key, at: at, arrived: time.Now(), joins: notBefore, due: notBefore}
	}
	r.events = append(r.events, receipts[0].ID)
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
		<-time.After(time.Duration(rapid.IntRange(1, 60000).Draw(r.t, "milliseconds")) * time.Millisecond)
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
		r.engine.Close(ctx) // what matters was said before
	}()
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		r.step()
	}
	r.end()
	for _, breach := range r.model.broken {
		t.Error(breach)
	}
}
