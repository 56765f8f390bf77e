package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// snapshotOf is everything that can be asked of a store.
func snapshotOf(t testing.TB, s *Store, ids map[queue.ID]string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for id := range ids {
		ev, err := s.Event(t.Context(), id)
		if errors.Is(err, queue.ErrNotFound) {
			continue // pruned
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.Deliveries(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all[id.String()] = fmt.Sprintf("%+v", *ev)
		for _, d := range rows {
			attempts, err := s.Attempts(t.Context(), id, d.Destination)
			if err != nil {
				t.Fatal(err)
			}
			if d.State == queue.StateDelivering {
				d.State = queue.StatePending // leases end with the store
			}
			all[id.String()+" "+d.Destination] = fmt.Sprintf("%+v %+v", d, attempts)
		}
	}
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
			want := snapshotOf(t, m.s, m.bodies)
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
			sameContents(t, snapshotOf(t, m.s, m.bodies), want)
			m.goesOn(later[0].ID)
		})
	}
}

// goesOn expects a store to know its duplicates, to take new events under numbers above one, and to deliver all that is pending.
func (m *mixed) goesOn(above queue.ID) {
	m.t.Helper()
	newest := queue.ID(0)
	for id, body := range m.bodies {
		newest = max(newest, id)
		eventID, _, _ := strings.Cut(body, "x")
		got, err := m.s.Enqueue(m.t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "shop", EventID: eventID, Body: []byte(body)}, DedupKey: eventID, DedupWindow: time.Hour}})
		if err != nil || !got[0].Duplicate || got[0].ID != id {
			m.t.Fatalf("%s is not known as a duplicate of %s: %+v %v", eventID, id, got, err)
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
			claimed, _, err := m.s.Claim(m.t.Context(), queue.ClaimRequest{Destination: name, Limit: 50, Now: m.clock.Now(), Lease: time.Minute})
			if err != nil {
				m.t.Fatal(err)
			}
			if len(claimed) == 0 {
				break
			}
			for _, c := range claimed {
				if string(c.Event.Body) != m.bodies[c.Event.ID] {
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

// TestBackupUnderLoad restores backups that were taken while events came in and were delivered: each event that was accepted before a backup began is in it.
func TestBackupUnderLoad(t *testing.T) {
	m := newMixed(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	accepted := map[queue.ID]string{}
	var load sync.WaitGroup
	for worker := range 4 {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", worker, n), 1+n%200)
				got, err := m.s.Enqueue(t.Context(), []queue.NewEvent{{
					Event:    queue.Event{Source: "shop", Provider: "p", EventID: fmt.Sprintf("%d-%d", worker, n), ReceivedAt: m.clock.Now(), Body: []byte(body)},
					DedupKey: fmt.Sprintf("%d-%d", worker, n), DedupWindow: time.Hour, Deliveries: []queue.NewDelivery{{Destination: "plain"}, {Destination: "ordered", OrderKey: "k"}},
				}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				accepted[got[0].ID] = body
				mu.Unlock()
			}
		})
	}
	load.Go(func() {
		for ctx.Err() == nil {
			claimed, _, err := m.s.Claim(t.Context(), queue.ClaimRequest{Destination: "plain", Limit: 10, Now: m.clock.Now(), Lease: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range claimed {
				if _, err := m.s.Settle(t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for round := 0; round < 3 && !t.Failed(); round++ {
		for enough := false; !enough && !t.Failed(); {
			mu.Lock()
			enough = len(accepted) >= 500*(round+1)
			mu.Unlock()
		}
		mu.Lock()
		before := make(map[queue.ID]string, len(accepted))
		for id, body := range accepted {
			before[id] = body
		}
		mu.Unlock()
		var file bytes.Buffer
		if _, err := m.s.Backup(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		m.restoredHas(&file, before)
	}
	stop()
	load.Wait()
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
	for id, body := range events {
		ev, err := s.Event(m.t.Context(), id)
		if err != nil || string(ev.Body) != body {
			m.t.Fatalf("event %s: %v", id, err)
		}
		rows, err := s.Deliveries(m.t.Context(), id)
		if err != nil || len(rows) != 2 || rows[0].State != queue.StatePending || rows[1].State != queue.StatePending && rows[1].State != queue.StateDelivered {
			m.t.Fatalf("deliveries of %s: %v %+v", id, err, rows)
		}
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
