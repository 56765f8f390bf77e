package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-webhooks/sluice/queue"
)

// What a writer says, one line each. It says what it is about to do before, and what was promised to it after.
const (
	saysOpen   = "open"   //
	saysAck    = "ack"    // <event> <id>: the event is durable
	saysTouch  = "touch"  // <event> <destination> <state> <attempts>: its delivery is about to become that
	saysDone   = "done"   // <event> <destination> <state> <attempts>: and that is durable
	saysMeta   = "meta"   // <key> <number>: the metadata is durable
	saysFull   = "full"   // an event was refused because the store is full
	saysFailed = "failed" // <error>: the store can no longer be used
	saysWrong  = "wrong"  // <what>: the store has broken its contract
)

// outcome is the state of a delivery.
type outcome struct {
	State    queue.State
	Attempts int
}

// progress is what is known of a delivery: it is surely in the first state, or in one of those that were begun since.
type progress struct {
	Now  outcome
	Next []outcome `json:",omitempty"`
}

func (p *progress) allows(o outcome) bool { return p.Now == o || slices.Contains(p.Next, o) }

// mayBeSettled reports whether the delivery may be in a state in which the event is pruned.
func (p *progress) mayBeSettled() bool {
	return p.Now.State.Settled() || slices.ContainsFunc(p.Next, func(o outcome) bool { return o.State.Settled() })
}

// promised is an event that must be in the store.
type promised struct {
	ID         queue.ID `json:",omitempty"` // 0: not known
	Deliveries map[string]*progress
}

// mayBeGone reports whether the event may have been pruned.
func (p *promised) mayBeGone() bool {
	for _, d := range p.Deliveries {
		if !d.mayBeSettled() {
			return false
		}
	}
	return true
}

// model is what a store was heard to promise.
type model struct {
	mu       sync.Mutex
	Events   map[string]*promised
	Meta     map[string]uint64
	Finished int // every delivery of this run and the ones before was settled and checked
	frozen   bool

	acked, settled, full int // over all runs
	failed               string
	wrong                []string
}

func newModel() *model {
	return &model{Events: map[string]*promised{}, Meta: map[string]uint64{}}
}

// hear takes in a line. Once the model is frozen, promises do not count any more, because they may have been made after the disk was cut off; what was
// begun does.
func (m *model) hear(line string) error {
	what, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case what == saysOpen:
	case what == saysFull:
		m.full++
	case what == saysFailed:
		m.failed = rest
	case what == saysWrong:
		m.wrong = append(m.wrong, rest)
	case what == saysAck && len(args) == 2:
		return m.ack(args[0], args[1])
	case what == saysMeta && len(args) == 2:
		n, err := strconv.ParseUint(args[1], 10, 64)
		if err == nil && !m.frozen {
			m.Meta[args[0]] = n
		}
		return err
	case (what == saysTouch || what == saysDone) && len(args) == 4:
		return m.move(what == saysDone, args)
	default:
		return fmt.Errorf("a writer says %q", line)
	}
	return nil
}

// event returns what is known of an event. The caller holds m.mu.
func (m *model) event(id string) (*promised, error) {
	if p := m.Events[id]; p != nil {
		return p, nil
	}
	n, err := parseName(id)
	if err != nil {
		return nil, err
	}
	p := &promised{Deliveries: map[string]*progress{}}
	for _, d := range n.Destinations {
		p.Deliveries[d] = &progress{Now: outcome{State: queue.StatePending}}
	}
	m.Events[id] = p
	return p, nil
}

func (m *model) ack(event, id string) error {
	if m.frozen {
		return nil
	}
	parsed, err := queue.ParseID(id)
	if err != nil {
		return err
	}
	p, err := m.event(event)
	if err != nil {
		return err
	}
	m.acked++
	if p.ID != 0 && p.ID != parsed {
		m.wrong = append(m.wrong, fmt.Sprintf("%s was acknowledged as %s and as %s", event, p.ID, parsed))
	}
	p.ID = parsed
	return nil
}

// move notes a step of a delivery. An event of which a delivery was claimed is durable, acknowledged or not.
func (m *model) move(done bool, args []string) error {
	state, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	attempts, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	if m.frozen && (done || m.Events[args[0]] == nil) {
		return nil
	}
	p, err := m.event(args[0])
	if err != nil {
		return err
	}
	d := p.Deliveries[args[1]]
	if d == nil {
		return fmt.Errorf("%s has no delivery to %s", args[0], args[1])
	}
	o := outcome{queue.State(state), attempts}
	if done {
		*d = progress{Now: o}
		m.settled++
	} else {
		d.Next = append(d.Next, o)
	}
	return nil
}

// heard returns how many events were acknowledged and how many were refused.
func (m *model) heard() (acked, full int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked, m.full
}
