package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// image copies the files of a store, as a crash at this moment would leave them if it is open.
func image(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// damages is what can happen to files. Each returns the name of a file that a check has to name, "" if there is no such file.
var damages = map[string]func(t testing.TB, dir string) string{
	"manifest missing":       remove("db/MANIFEST"),
	"manifest cut":           change("db/MANIFEST", func(b []byte) []byte { return b[:len(b)-5] }),
	"manifest flipped":       change("db/MANIFEST", flip(0.5)),
	"table missing":          remove("db/*.sst"),
	"table truncated":        change("db/*.sst", half),
	"table flipped":          change("db/*.sst", flip(0.3)),
	"index flipped":          change("db/*.sst", flip(0.97)),
	"value log missing":      remove("db/*.vlog"),
	"value log cut":          change("db/*.vlog", half),
	"value log flipped":      change("db/*.vlog", flip(0.4)),
	"memtable flipped":       change("db/*.mem", written(0.4)),
	"journal flipped":        tailOf(func(b []byte) []byte { return flipAt(b, bytes.Index(b, []byte("tail 10"))) }),
	"journal header":         tailOf(func(b []byte) []byte { return flipAt(b, 9) }),
	"mark of the future":     future,
	"mark flipped":           change(markName, flip(0.5)),
	"newest segment missing": newestSegment(func(path string, _ int64) error { return os.Remove(path) }),
	"newest segment cut":     newestSegment(func(path string, size int64) error { return os.Truncate(path, size/2) }),
}

// newestSegment does something to the journal's newest file in use. Nothing but the mark tells that the events of its end were there.
func newestSegment(do func(path string, size int64) error) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		found, err := filepath.Glob(filepath.Join(dir, "journal", journalPattern))
		if err != nil || len(found) == 0 {
			return "" // the store was closed
		}
		path := slices.Max(found)
		info, err := os.Stat(path)
		if err == nil {
			err = do(path, info.Size())
		}
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(path)
	}
}

func flipAt(b []byte, at int) []byte {
	b[at] ^= 0x10
	return b
}

// tailOf puts events into the journal that the database does not hold, and damages that segment.
func tailOf(fn func([]byte) []byte) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		if pick(t, dir, "journal/*.seg") != "" {
			return "" // the store was not closed
		}
		base := appendTail(t, dir, 20)
		return change(filepath.Join("journal", filepath.Base(segmentPath("", base))), fn)(t, dir)
	}
}

// appendTail writes events to the journal of a store that is closed, as if it had ended before they were applied. It returns the number of the first.
func appendTail(t testing.TB, dir string, n int) uint64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil {
		t.Fatal(err)
	}
	mark, ok := decodeMark(b)
	if !ok {
		t.Fatal("mark cannot be read")
	}
	seq, o := mark.seq, small()
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(osFS{}, filepath.Join(dir, "journal"), &o, nil, unnoted)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(n) {
		ev := queue.NewEvent{Event: queue.Event{Source: "shop", EventID: fmt.Sprint("tail ", i), Body: fmt.Appendf(nil, "tail %d", i)}, Deliveries: []queue.NewDelivery{{Destination: "plain"}}}
		rec := encodeEvent(nil, &ev, 1, dedupClaim{})
		sealEvent(rec, seq+1+i)
		if _, err := j.append(seq+1+i, [][]byte{rec}, []bool{false}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, markName), highWater{seq: seq + uint64(n), commits: mark.commits}.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return seq + 1
}

func half(b []byte) []byte { return b[:len(b)/2] }

func flip(at float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b[int(float64(len(b))*at)] ^= 0x10
		return b
	}
}

// written flips a byte in the part of a file that is not zero.
func written(at float64) func([]byte) []byte {
	return func(b []byte) []byte {
		n := len(bytes.TrimRight(b, "\x00"))
		b[int(float64(n)*at)] ^= 0x10
		return b
	}
}

// pick returns the first file that matches and has something in it.
func pick(t testing.TB, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.Size() > 30 {
			return path
		}
	}
	return ""
}

func remove(pattern string) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		path := pick(t, dir, pattern)
		if path == "" {
			return ""
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(path)
	}
}

func change(pattern string, fn func([]byte) []byte) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		path := pick(t, dir, pattern)
		if path == "" {
			return ""
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fn(b), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(path)
	}
}

func future(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, markName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "" // none was written yet
	}
	if err != nil {
		t.Fatal(err)
	}
	mark, ok := decodeMark(b)
	if !ok {
		t.Fatal("mark cannot be read")
	}
	if err := os.WriteFile(path, highWater{seq: mark.seq + 1_000_000, commits: mark.commits, segment: mark.segment}.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return markName
}

// worn is a store that has tables, value log files, a memtable and journal segments.
func worn(t testing.TB, key []byte) *mixed {
	t.Helper()
	m := newMixed(t, key)
	for range 3 {
		m.fill()
	}
	return m
}

func TestSalvageOfSoundStore(t *testing.T) {
	first, second := []byte("0123456789abcdef"), []byte("another key of 32 bytes, exactly")
	for name, keys := range map[string][2][]byte{"plain": {nil, nil}, "other key": {first, second}} {
		t.Run(name, func(t *testing.T) {
			m := worn(t, keys[0])
			crashed := image(t, m.dir)
			want := snapshotOf(t, m.s)
			m.close()
			for kind, from := range map[string]string{"closed": m.dir, "crashed": crashed} {
				to := filepath.Join(t.TempDir(), "new")
				r, err := Salvage(t.Context(), from, to, keys[1], m.o)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Source.Sound || r.LostCount != 0 || r.Uncertain != 0 || r.Events == 0 {
					t.Errorf("%s: %+v", kind, r)
				}
				n := *m
				n.dir, n.o.EncryptionKey = to, keys[1]
				n.open()
				sameContents(t, snapshotOf(t, n.s), want)
				checked, err := n.s.Check(t.Context())
				sound(t, checked, err)
				n.goesOn(0)
				n.close()
			}
		})
	}
}

// TestSalvageOfLongJournal has more in the journal than a look at a part of a file shows, with gaps between single events.
func TestSalvageOfLongJournal(t *testing.T) {
	t.Parallel()
	const stored, journal = 10, 600
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	s, err := Open(dir, small())
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "e", stored, 100)
	mustClose(t, s)
	appendTail(t, dir, journal)
	r, err := Salvage(t.Context(), dir, to, nil, small())
	if err != nil || r.Events != stored+journal {
		t.Errorf("%+v, %v, want %d events", r, err, stored+journal)
	}
}

// TestDamage damages a store in every way: a check names the file, and a salvage carries every event whose bytes are still somewhere.
func TestDamage(t *testing.T) {
	kinds := []string{"closed", "crashed"}
	if testing.Short() {
		kinds = kinds[:1]
	}
	for _, kind := range kinds {
		m := worn(t, nil)
		before := snapshotOf(t, m.s)
		stats, err := m.s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole := image(t, m.dir)
		m.close()
		if kind == "closed" {
			whole = m.dir
		}
		for name, damage := range damages {
			if name == "value log flipped" {
				damage = m.flipLive(before)
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				dir := image(t, whole)
				file := damage(t, dir)
				if file == "" {
					t.Skip("there is no such file")
				}
				r, err := CheckDir(t.Context(), dir, m.o)
				if err != nil {
					t.Fatal(err)
				}
				text := fmt.Sprintf("%+v", r.Findings)
				if r.Sound || !strings.Contains(text, file) || !strings.Contains(text, "WayOut:") {
					t.Errorf("check does not name %s: %+v", file, r)
				}
				m.salvaged(t, dir, before, stats.Events)
			})
		}
	}
}

// flipLive flips a byte of an event that is still there. Much of a value log is not: pruned events, and Badger's own bytes, of which no one is missed.
func (m *mixed) flipLive(before map[string]string) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, "db/*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		for id, body := range m.bodies {
			if before[id.String()] == "" {
				continue
			}
			found, at, times := "", 0, 0
			for _, path := range files {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if n := bytes.Count(b, []byte(body)); n > 0 {
					found, at, times = path, bytes.Index(b, []byte(body)), times+n
				}
			}
			if times == 1 { // not rewritten, and not the beginning of another one
				return change(filepath.Join("db", filepath.Base(found)), func(b []byte) []byte { return flipAt(b, at+len(body)/2) })(t, dir)
			}
		}
		t.Fatal("no event is in the value log once")
		return ""
	}
}

// salvaged salvages a damaged store and compares what came out with what was in it.
func (m *mixed) salvaged(t *testing.T, dir string, before map[string]string, events uint64) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "new")
	r, err := Salvage(t.Context(), dir, to, nil, m.o)
	if err != nil {
		t.Fatal(err)
	}
	n := *m
	n.t, n.dir, n.bodies = t, to, map[queue.ID]string{}
	n.open()
	missing := 0
	for id, body := range m.bodies {
		if before[id.String()] == "" {
			continue // pruned before
		}
		ev, err := n.s.Event(t.Context(), id)
		if err != nil {
			missing++
			continue
		}
		if string(ev.Body) != body {
			t.Fatalf("event %s has another body", id)
		}
		n.bodies[id] = body
	}
	t.Logf("%d of %d events, %d lost, %d found without a row, %d deliveries uncertain, %d missing; %+v", r.Events, events, r.LostCount, r.Unlisted, r.Uncertain, r.Missing, r.Source.Findings[:min(3, len(r.Source.Findings))])
	if r.Events < events-uint64(missing) || uint64(len(n.bodies))+uint64(missing) != events {
		t.Errorf("%d events carried, %d of %d are missing", r.Events, missing, events)
	}
	if uint64(missing) > r.LostCount+r.Missing {
		t.Errorf("%d events are missing, %d and %d are listed: %+v", missing, r.LostCount, r.Missing, r)
	}
	checked, err := n.s.Check(t.Context())
	sound(t, checked, err)
	for id := range m.bodies { // what was pruned and has come back can be delivered too
		n.bodies[id] = m.bodies[id]
	}
	n.clock.Advance(3 * 3600e9)
	n.drain()
	n.close()
}
