package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// task is what a checker is asked to compare a store with.
type task struct {
	Model  *model
	Finish bool // settle everything afterwards
}

// report is what a checker has found.
type report struct {
	Opening  time.Duration
	Events   int // in the store
	Unheard  int // stored and never heard to be promised, which is allowed
	Lost     []string
	Wrong    []string
	Promised map[string]*promised // what has to be there from now on
}

// checker compares a store with a model. It runs in a process of its own, so that nothing of the one that wrote is left.
type checker struct {
	*spec
	task
	store  *badgerstore.Store
	report report

	found   map[string]queue.Summary
	byID    map[queue.ID]string
	commits map[string]int
	pending map[string]map[queue.ID]queue.Delivery // by destination
	dead    map[string]uint64
}

func runChecker(s *spec) error {
	c := &checker{
		spec: s, found: map[string]queue.Summary{}, byID: map[queue.ID]string{}, commits: map[string]int{},
		pending: map[string]map[queue.ID]queue.Delivery{}, dead: map[string]uint64{},
	}
	if err := json.NewDecoder(os.Stdin).Decode(&c.task); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	begin := time.Now()
	var err error
	if c.store, err = badgerstore.Open(s.Dir, s.options()); err != nil {
		return err
	}
	c.report.Opening = time.Since(begin)
	ctx := context.Background()
	for _, step := range []func(context.Context) error{c.sound, c.list, c.compare, c.counters, c.meta, c.duplicates, c.claim, c.sound} {
		if err := step(ctx); err != nil {
			return errors.Join(err, c.store.Close())
		}
	}
	if n := c.store.Damaged(); n > 0 {
		c.wrong("%d damaged events", n)
	}
	if err := c.store.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(&c.report)
}

const mostFindings = 50

func (c *checker) wrong(format string, args ...any) {
	if len(c.report.Wrong) < mostFindings {
		c.report.Wrong = append(c.report.Wrong, fmt.Sprintf(format, args...))
	}
}

func (c *checker) lost(format string, args ...any) {
	if len(c.report.Lost) < mostFindings {
		c.report.Lost = append(c.report.Lost, fmt.Sprintf(format, args...))
	}
}

// sound lets the store check itself.
func (c *checker) sound(ctx context.Context) error {
	r, err := c.store.Check(ctx)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		if f.Level != badgerstore.LevelNote {
			c.wrong("check: %+v", f)
		}
	}
	return nil
}

// list reads every event of the store.
func (c *checker) list(ctx context.Context) error {
	for f := (queue.Filter{Limit: 1000}); ; {
		page, err := c.store.Events(ctx, f)
		if err != nil {
			return err
		}
		for _, s := range page.Events {
			if err := c.one(ctx, s); err != nil {
				return err
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return nil
		}
	}
}

func (c *checker) one(ctx context.Context, s queue.Summary) error {
	id := s.Event.EventID
	n, err := parseName(id)
	if err != nil {
		c.wrong("%v", err)
		return nil
	}
	c.report.Events++
	if other, twice := c.found[id]; twice {
		c.wrong("%s is there twice, as %s and as %s", id, s.Event.ID, other.Event.ID)
	}
	c.found[id], c.byID[s.Event.ID] = s, id
	c.commits[n.commit()]++
	for _, d := range s.Deliveries {
		switch d.State {
		case queue.StatePending:
			if n.Run <= c.Model.Finished {
				c.wrong("%s was settled for %s and is pending", id, d.Destination)
			}
			if c.pending[d.Destination] == nil {
				c.pending[d.Destination] = map[queue.ID]queue.Delivery{}
			}
			c.pending[d.Destination][s.Event.ID] = d
		case queue.StateDead:
			c.dead[d.Destination]++
		case queue.StateDelivering:
			c.wrong("%s is leased for %s by nobody", id, d.Destination)
		}
	}
	return c.bytes(ctx, s.Event.ID, n)
}

// bytes compares an event with what it was made of.
func (c *checker) bytes(ctx context.Context, id queue.ID, n *name) error {
	got, err := c.store.Event(ctx, id)
	if errors.Is(err, queue.ErrDamaged) {
		c.wrong("%s is damaged", n)
		return nil
	}
	if err != nil {
		return err
	}
	want := n.event(c.Largest)
	if !bytes.Equal(got.Body, want.Body) || got.Header.Get("X-Id") != want.EventID || got.URL != want.URL || got.Type != want.Type || got.Source != source {
		c.wrong("%s has bytes that are not its own", n)
	}
	return nil
}

// compare looks for everything that was promised, and for commits of which only a part is there.
func (c *checker) compare(ctx context.Context) error {
	for id, p := range c.Model.Events {
		s, ok := c.found[id]
		switch {
		case !ok && !p.mayBeGone():
			c.lost("%s (%s) is not there", id, p.ID)
		case ok && p.ID != 0 && p.ID != s.Event.ID:
			c.wrong("%s was acknowledged as %s and is there as %s", id, p.ID, s.Event.ID)
		case ok:
			c.states(id, p, s)
		}
	}
	c.report.Promised = map[string]*promised{}
	for id, s := range c.found {
		n, err := parseName(id)
		if err != nil {
			return err
		}
		if n.Run <= c.Model.Finished {
			continue
		}
		if c.Model.Events[id] == nil {
			c.report.Unheard++
		}
		if n.Of > 1 && c.commits[n.commit()] != n.Of {
			c.wrong("of the %d events of the commit of %s there are %d", n.Of, id, c.commits[n.commit()])
		}
		if err := c.attempts(ctx, s); err != nil {
			return err
		}
		p := &promised{ID: s.Event.ID, Deliveries: map[string]*progress{}}
		for _, d := range s.Deliveries {
			p.Deliveries[d.Destination] = &progress{Now: outcome{d.State, d.Attempts}}
		}
		c.report.Promised[id] = p
	}
	return nil
}

// states compares the deliveries of an event.
func (c *checker) states(id string, p *promised, s queue.Summary) {
	if len(s.Deliveries) != len(p.Deliveries) {
		c.wrong("%s has %d deliveries instead of %d", id, len(s.Deliveries), len(p.Deliveries))
	}
	for _, d := range s.Deliveries {
		want := p.Deliveries[d.Destination]
		if want == nil || !want.allows(outcome{d.State, d.Attempts}) {
			c.wrong("delivery of %s to %s is %s after %d attempts, want %+v", id, d.Destination, d.State, d.Attempts, want)
		}
	}
}

// attempts counts the records of attempts.
func (c *checker) attempts(ctx context.Context, s queue.Summary) error {
	for _, d := range s.Deliveries {
		if d.Attempts == 0 {
			continue
		}
		records, err := c.store.Attempts(ctx, s.Event.ID, d.Destination)
		if err != nil {
			return err
		}
		for i, a := range records {
			if a.Number != i+1 {
				c.wrong("attempt %d of %s to %s has the number %d", i+1, s.Event.EventID, d.Destination, a.Number)
			}
		}
		if len(records) != d.Attempts {
			c.wrong("%s has %d records of %d attempts to %s", s.Event.EventID, len(records), d.Attempts, d.Destination)
		}
	}
	return nil
}

// counters compares what the store has counted with what is there.
func (c *checker) counters(ctx context.Context) error {
	st, err := c.store.Stats(ctx)
	if err != nil {
		return err
	}
	if st.Events != uint64(c.report.Events) {
		c.wrong("the store counts %d events and has %d", st.Events, c.report.Events)
	}
	for _, d := range append([]string{kept}, drained...) {
		got := st.Destinations[d]
		if got.Pending != uint64(len(c.pending[d])) || got.Dead != c.dead[d] || got.Delivering != 0 {
			c.wrong("for %s the store counts %d pending, %d dead and %d leased, and has %d pending and %d dead",
				d, got.Pending, got.Dead, got.Delivering, len(c.pending[d]), c.dead[d])
		}
	}
	return nil
}

// meta compares the metadata.
func (c *checker) meta(ctx context.Context) error {
	for key, least := range c.Model.Meta {
		value, err := c.store.Meta(ctx, key)
		if errors.Is(err, queue.ErrNotFound) {
			c.lost("metadata %s is not there", key)
			continue
		}
		if err != nil {
			return err
		}
		if n, err := strconv.ParseUint(string(value), 10, 64); err != nil || n < least {
			c.lost("metadata %s is %q, at least %d was promised", key, value, least)
		}
	}
	return nil
}
