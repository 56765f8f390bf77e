package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// mixed is a store with deliveries in every state, and what is known about it.
type mixed struct {
	t      testing.TB
	s      *Store
	dir    string
	o      Options
	clock  *queuetest.Clock
	random *rand.Rand
	bodies map[queue.ID]string
	n      int
}

func newMixed(t testing.TB, key []byte) *mixed {
	t.Helper()
	clock := queuetest.NewClock()
	o := small()
	o.Clock, o.EncryptionKey, o.NoSync = clock.Now, key, true // the disk's speed is not the point
	m := &mixed{t: t, dir: t.TempDir(), o: o, clock: clock, random: rand.New(rand.NewPCG(3, 4)), bodies: map[queue.ID]string{}}
	m.open()
	return m
}

func (m *mixed) open() {
	m.t.Helper()
	s, err := Open(m.dir, m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
	m.t.Cleanup(func() { _ = s.Close() }) // tests that care close it themselves
}

func (m *mixed) close() {
	m.t.Helper()
	if err := m.s.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// enqueue stores events for two destinations, some with order keys and some for later, small ones and large ones.
func (m *mixed) enqueue(n int) {
	m.t.Helper()
	for n > 0 {
		batch := make([]queue.NewEvent, min(n, 25))
		for i := range batch {
			batch[i] = m.event()
		}
		n -= len(batch)
		got, err := m.s.Enqueue(m.t.Context(), batch)
		if err != nil {
			m.t.Fatal(err)
		}
		for i, r := range got {
			m.bodies[r.ID] = string(batch[i].Body)
		}
	}
}

func (m *mixed) event() queue.NewEvent {
	m.n++
	id := fmt.Sprintf("evt_%d", m.n)
	ev := queue.NewEvent{
		Event: queue.Event{
			Source: "shop", Provider: "p", EventID: id, Type: "order.paid", ReceivedAt: m.clock.Now(), Method: "POST", URL: "https://h/x",
			Body: []byte(id + strings.Repeat("x", m.random.IntN(1500))),
		},
		DedupKey: id, DedupWindow: 72 * time.Hour,
		Deliveries: []queue.NewDelivery{{Destination: "plain"}, {Destination: "ordered", OrderKey: fmt.Sprintf("key-%d", m.random.IntN(40))}},
	}
	if m.n%7 == 0 {
		ev.Deliveries[0].NotBefore = m.clock.Now().Add(time.Hour)
	}
	return ev
}

// work settles some deliveries in every way.
func (m *mixed) work(rounds int) {
	m.t.Helper()
	for range rounds {
		m.clock.Advance(time.Second)
		for _, name := range []string{"plain", "ordered"} {
			claimed, _, err := m.s.Claim(m.t.Context(), queue.ClaimRequest{Destination: name, Limit: 20, Now: m.clock.Now(), Lease: time.Minute})
			if err != nil {
				m.t.Fatal(err)
			}
			for _, c := range claimed {
				m.settle(c)
			}
		}
	}
}

func (m *mixed) settle(c queue.Claimed) {
	m.t.Helper()
	st := queue.Settlement{Lease: c.Lease, State: queue.StateDelivered, Attempt: &queue.Attempt{At: m.clock.Now(), Status: 200}}
	switch m.random.IntN(8) {
	case 0:
		st.State, st.Attempt.Status, st.Attempt.Class = queue.StateDead, 410, "status"
	case 1, 2:
		st.State, st.Attempt.Status, st.Attempt.Class = queue.StatePending, 500, "status"
		st.Due = m.clock.Now().Add(time.Duration(m.random.IntN(100)) * time.Second)
	case 3:
		st.State, st.StepAside, st.Attempt.Status = queue.StatePending, true, 500
		st.Due = m.clock.Now().Add(time.Minute)
	}
	lost, err := m.s.Settle(m.t.Context(), []queue.Settlement{st})
	if err != nil || lost[0] != nil {
		m.t.Fatal(err, lost)
	}
}

// fill makes a store worth checking.
func (m *mixed) fill() {
	m.t.Helper()
	for range 6 {
		m.enqueue(200)
		m.work(10)
	}
	if err := m.s.PutMeta(m.t.Context(), "audit/1", []byte("something")); err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.s.Maintain(m.t.Context(), m.clock.Now(), queue.Retention{Delivered: 40 * time.Second, Dead: time.Hour}); err != nil {
		m.t.Fatal(err)
	}
	m.enqueue(150)
}

// sound expects a report without damage.
func sound(t testing.TB, r *Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound || r.Damage > 0 {
		t.Fatalf("not sound: %+v", r)
	}
}

func TestCheckOfSoundStore(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "encrypted": []byte("0123456789abcdef")} {
		t.Run(name, func(t *testing.T) {
			m := newMixed(t, key)
			m.fill()
			online, err := m.s.Check(t.Context())
			sound(t, online, err)
			stats, err := m.s.Stats(t.Context())
			if err != nil || stats.Events != online.Events || online.Events == 0 || online.Claims == 0 || online.Attempts == 0 || online.Metadata != 1 {
				t.Errorf("%v, %d events: %+v", err, stats.Events, online)
			}
			if _, err := CheckDir(t.Context(), m.dir, m.o); err == nil || !strings.Contains(err.Error(), "is in use by process") {
				t.Errorf("a store that is open: %v", err)
			}
			m.close()
			offline, err := CheckDir(t.Context(), m.dir, m.o)
			sound(t, offline, err)
			if len(offline.Findings) > 0 || offline.Events != online.Events || offline.Deliveries != online.Deliveries || offline.Payload != online.Payload || offline.Attempts != online.Attempts {
				t.Errorf("offline %+v, online %+v", offline, online)
			}
			m.open() // it was not changed
			again, err := m.s.Check(t.Context())
			sound(t, again, err)
		})
	}
}

func TestCheckUnderLoad(t *testing.T) {
	m := newMixed(t, nil)
	m.enqueue(300)
	type result struct {
		r   *Report
		err error
	}
	results := make(chan result)
	go func() {
		for range 4 {
			r, err := m.s.Check(t.Context())
			results <- result{r, err}
		}
	}()
	for n := 0; n < 4; {
		select {
		case got := <-results:
			sound(t, got.r, got.err)
			n++
		default:
			m.enqueue(20)
			m.work(2)
		}
	}
}

func TestCheckWhatIsNoStore(t *testing.T) {
	if _, err := CheckDir(t.Context(), t.TempDir(), small()); !errors.Is(err, ErrNoStore) {
		t.Error(err)
	}
	m := newMixed(t, []byte("0123456789abcdef"))
	m.enqueue(10)
	m.close()
	for _, key := range [][]byte{nil, []byte("another key 1234")} {
		o := m.o
		o.EncryptionKey = key
		if _, err := CheckDir(t.Context(), m.dir, o); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", key, err)
		}
	}
}
