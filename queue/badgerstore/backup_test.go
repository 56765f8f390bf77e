package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// eachEvent calls fn for all events of a store with their deliveries.
func eachEvent(t testing.TB, s *Store, fn func(queue.Summary)) {
	t.Helper()
	for f := (queue.Filter{Limit: 1000}); ; {
		page, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			fn(e)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return
		}
	}
}

// snapshotOf is everything that can be asked of a store.
func snapshotOf(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	eachEvent(t, s, func(e queue.Summary) {
		ev, err := s.Event(t.Context(), e.Event.ID)
		if err != nil {
			t.Fatal(err)
		}
		id := ev.ID.String()
		all[id] = fmt.Sprintf("%+v", *ev)
		for _, d := range e.Deliveries {
			if d.State == queue.StateDelivering {
				d.State = queue.StatePending // leases end with the store
			}
			all[id+" "+d.Destination] = fmt.Sprintf("%+v", d)
			if d.Attempts == 0 {
				continue
			}
			attempts, err := s.Attempts(t.Context(), ev.ID, d.Destination)
			if err != nil {
				t.Fatal(err)
			}
			all[id+" "+d.Destination] += fmt.Sprintf("%+v", attempts)
		}
	})
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range stats.Destinations {
		d.Delivering, d.NextDue = 0, time.Time{}
		all["destination "+name] = fmt.Sprintf("%+v", d)
	}
	all["sources"] = fmt.Sprintf("%+v", stats.Sources)
	err = s.ListMeta(t.Context(), "", "", func(key string, value []byte) bool {
		all["meta "+key] = string(value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameContents expects two stores to hold the same.
func sameContents(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s:\n got %.300s\nwant %.300s", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d things, want %d", len(got), len(want))
	}
}

func TestBackupAndRestore(t *testing.T) {
	first, second := []byte("0123456789abcdef"), []byte("another key of 32 bytes, exactly")
	for name, keys := range map[string][2][]byte{
		"plain": {nil, nil}, "encrypted": {first, first}, "other key": {first, second}, "encrypting": {nil, first}, "decrypting": {first, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMixed(t, keys[0])
			m.fill()
			var file bytes.Buffer
			info, err := m.s.Backup(t.Context(), &file)
			if err != nil {
				t.Fatal(err)
			}
			if verified, err := VerifyBackup(bytes.NewReader(file.Bytes())); err != nil || verified != info || int(info.Bytes) != file.Len() || info.Events == 0 || info.Damaged != 0 {
				t.Errorf("%v: %+v, want %+v", err, verified, info)
			}
			if keys[0] != nil && bytes.Contains(file.Bytes(), []byte("xxxxxxxx")) {
				t.Error("the backup of an encrypted store shows payloads")
			}
			want := snapshotOf(t, m.s)
			later, err := m.s.Enqueue(t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "shop", EventID: "later", Body: []byte("later")}}})
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "new")
			o := m.o
			o.EncryptionKey = keys[1]
			restored, err := Restore(t.Context(), &file, keys[0], dir, o)
			if err != nil || restored != info {
				t.Fatalf("%v: %+v, want %+v", err, restored, info)
			}
			r, err := CheckDir(t.Context(), dir, o)
			sound(t, r, err)
			m.close()
			m.dir, m.o = dir, o
			m.open()
			sameContents(t, snapshotOf(t, m.s), want)
			m.goesOn(later[0].ID)
		})
	}
}

// goesOn expects a store to know its duplicates, to take new events under numbers above one, and to deliver all that is pending.
func (m *mixed) goesOn(above queue.ID) {
	m.t.Helper()
	newest := queue.ID(0)
	var copies []queue.NewEvent
	var ids []queue.ID
	for id, body := range m.bodies {
		newest = max(newest, id)
		eventID, _, _ := strings.Cut(body, "x")
		copies = append(copies, queue.NewEvent{Event: queue.Event{Source: "shop", EventID: eventID, Body: []byte(body)}, DedupKey: eventID, DedupWindow: time.Hour})
		ids = append(ids, id)
	}
	for at := 0; at < len(copies); at += 100 {
		got, err := m.s.Enqueue(m.t.Context(), copies[at:min(at+100, len(copies))])
		if err != nil {
			m.t.Fatal(err)
		}
		for i, r := range got {
			if !r.Duplicate || r.ID != ids[at+i] {
				m.t.Fatalf("%s is not known as a duplicate of %s: %+v", copies[at+i].EventID, ids[at+i], r)
			}
		}
	}
	got, err := m.s.Enqueue(m.t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "shop", EventID: "new", Body: []byte("new")}}})
	if err != nil || got[0].ID <= max(newest, above) {
		m.t.Fatalf("%v: a new event has the number %s, which is not above %s and %s", err, got[0].ID, newest, above)
	}
	m.clock.Advance(3 * time.Hour)
	m.drain()
	r, err := m.s.Check(m.t.Context())
	sound(m.t, r, err)
}

// drain delivers everything; each delivery once.
func (m *mixed) drain() {
	m.t.Helper()
	for _, name := range []string{"plain", "ordered"} {
		for {
			claimed, next, err := m.s.Claim(m.t.Context(), queue.ClaimRequest{Destination: name, Limit: 50, Now: m.clock.Now(), Lease: time.Minute})
			if err != nil {
				m.t.Fatal(err)
			}
			if len(claimed) == 0 && (next.IsZero() || next.After(m.clock.Now())) {
				break
			}
			for _, c := range claimed {
				if string(c.Event.Body) != m.bodies[c.Event.ID] && !strings.HasPrefix(string(c.Event.Body), "tail ") {
					m.t.Fatalf("event %s has another body", c.Event.ID)
				}
				if lost, err := m.s.Settle(m.t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}}); err != nil || lost[0] != nil {
					m.t.Fatal(err, lost)
				}
			}
		}
	}
	stats, err := m.s.Stats(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	for name, d := range stats.Destinations {
		if d.Pending != 0 {
			m.t.Errorf("%s: %d are still pending", name, d.Pending)
		}
	}
}

// load enqueues and delivers until it is stopped.
type load struct {
	m        *mixed
	stop     chan struct{}
	wg       sync.WaitGroup
	progress chan struct{} // has room for one: something was accepted
	mu       sync.Mutex
	accepted map[queue.ID]string
}

func startLoad(m *mixed) *load {
	l := &load{m: m, stop: make(chan struct{}), progress: make(chan struct{}, 1), accepted: map[queue.ID]string{}}
	for worker := range 4 {
		l.wg.Go(func() { l.enqueue(worker) })
	}
	l.wg.Go(l.deliver)
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *load) enqueue(worker int) {
	for n := 0; !l.stopped() && n < 2000; n++ {
		id := fmt.Sprintf("%d-%d", worker, n)
		body := strings.Repeat(id+" ", 1+n%200)
		got, err := l.m.s.Enqueue(l.m.t.Context(), []queue.NewEvent{{
			Event:    queue.Event{Source: "shop", Provider: "p", EventID: id, ReceivedAt: l.m.clock.Now(), Body: []byte(body)},
			DedupKey: id, DedupWindow: time.Hour, Deliveries: []queue.NewDelivery{{Destination: "ordered", OrderKey: "k"}, {Destination: "plain"}},
		}})
		if err != nil {
			l.m.t.Error(err)
			return
		}
		l.mu.Lock()
		l.accepted[got[0].ID] = body
		l.mu.Unlock()
		select {
		case l.progress <- struct{}{}:
		default:
		}
	}
}

func (l *load) deliver() {
	for !l.stopped() {
		claimed, _, err := l.m.s.Claim(l.m.t.Context(), queue.ClaimRequest{Destination: "plain", Limit: 10, Now: l.m.clock.Now(), Lease: time.Minute})
		if err != nil {
			l.m.t.Error(err)
			return
		}
		for _, c := range claimed {
			if _, err := l.m.s.Settle(l.m.t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}}); err != nil {
				l.m.t.Error(err)
				return
			}
		}
		if len(claimed) > 0 {
			continue
		}
		select {
		case <-l.m.s.Wake():
		case <-l.stop:
		}
	}
}

// until waits for so many accepted events, and returns those there are.
func (l *load) until(n int) map[queue.ID]string {
	for {
		l.mu.Lock()
		if len(l.accepted) >= n {
			defer l.mu.Unlock()
			return maps.Clone(l.accepted)
		}
		l.mu.Unlock()
		<-l.progress
	}
}

// TestBackupUnderLoad restores backups that were taken while events came in and were delivered: each event that was accepted before a backup began is in it.
func TestBackupUnderLoad(t *testing.T) {
	m := newMixed(t, nil)
	l := startLoad(m)
	for round := range 3 {
		before := l.until(400 * (round + 1))
		var file bytes.Buffer
		if _, err := m.s.Backup(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		m.restoredHas(&file, before)
	}
	close(l.stop)
	l.wg.Wait()
}

// restoredHas restores a backup and expects events in it, each with its body and its deliveries.
func (m *mixed) restoredHas(file *bytes.Buffer, events map[queue.ID]string) {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "new")
	if _, err := Restore(m.t.Context(), file, nil, dir, m.o); err != nil {
		m.t.Fatal(err)
	}
	s, err := Open(dir, m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			m.t.Error(err)
		}
	}()
	found := 0
	eachEvent(m.t, s, func(e queue.Summary) {
		body, ok := events[e.Event.ID]
		if !ok {
			return // accepted while the backup began
		}
		found++
		ev, err := s.Event(m.t.Context(), e.Event.ID)
		if err != nil || string(ev.Body) != body {
			m.t.Fatalf("event %s: %v", e.Event.ID, err)
		}
		if d := e.Deliveries; len(d) != 2 || d[0].State != queue.StatePending || d[1].State != queue.StatePending && d[1].State != queue.StateDelivered {
			m.t.Fatalf("deliveries of %s: %+v", e.Event.ID, d)
		}
	})
	if found != len(events) {
		m.t.Errorf("%d of %d events are in the backup", found, len(events))
	}
	r, err := s.Check(m.t.Context())
	sound(m.t, r, err)
}

func TestRestoreRefuses(t *testing.T) {
	key := []byte("0123456789abcdef")
	m := newMixed(t, key)
	m.fill()
	var file bytes.Buffer
	if _, err := m.s.Backup(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	restore := func(b, key []byte) error {
		dir := filepath.Join(t.TempDir(), "new")
		_, err := Restore(t.Context(), bytes.NewReader(b), key, dir, m.o)
		if err == nil {
			t.Error("was restored")
		}
		if _, statErr := os.Stat(dir); statErr == nil { // what was begun is not taken for a store
			if _, openErr := Open(dir, m.o); !errors.Is(openErr, queue.ErrDamaged) || !strings.Contains(openErr.Error(), "not finished") {
				t.Errorf("an unfinished restore opens: %v", openErr)
			}
		}
		return err
	}
	for _, n := range []int{0, 10, archiveHeader, archiveHeader + 5, len(whole) / 2, len(whole) - 30, len(whole) - 1} {
		if err := restore(whole[:n], key); !errors.Is(err, ErrBackup) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
		if _, err := VerifyBackup(bytes.NewReader(whole[:n])); !errors.Is(err, ErrBackup) {
			t.Errorf("cut to %d of %d bytes: verify: %v", n, len(whole), err)
		}
	}
	for at := 0; at < len(whole); at += len(whole)/40 + 1 {
		changed := bytes.Clone(whole)
		changed[at] ^= 4
		if err := restore(changed, key); !errors.Is(err, ErrBackup) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	if err := restore(append(bytes.Clone(whole), 0), key); !errors.Is(err, ErrBackup) {
		t.Errorf("longer: %v", err)
	}
	for _, wrong := range [][]byte{nil, []byte("another key 1234")} {
		if err := restore(whole, wrong); !errors.Is(err, ErrKey) {
			t.Errorf("key %q: %v", wrong, err)
		}
	}
	if _, err := Restore(t.Context(), bytes.NewReader(whole), key, m.dir, m.o); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("over a store: %v", err)
	}
}
