package badgerstore

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSalvageNamesWhatMayBeLost breaks single blocks of a database's tables: whatever is not as it was in the new store is of a kind that the report names.
func TestSalvageNamesWhatMayBeLost(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	for i := range 40 {
		if err := m.s.PutMeta(t.Context(), fmt.Sprint("pause ", i), bodyOf("paused", 300)); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshotOf(t, m.s)
	m.close()
	contents := func(dir string) map[string]string {
		n := *m
		n.t, n.dir = t, dir
		n.open()
		defer n.close()
		return snapshotOf(t, n.s)
	}
	sound, err := Salvage(t.Context(), m.dir, filepath.Join(t.TempDir(), "new"), nil, m.o)
	if err != nil || len(sound.LostRows) != 0 {
		t.Fatalf("%+v, %v", sound, err)
	}
	tables, err := filepath.Glob(filepath.Join(m.dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	named := map[string]bool{}
	for _, path := range tables {
		table, err := openRawTable(path, nil, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		blocks := table.blocks
		table.close()
		step := 1 + len(blocks)/6
		if testing.Short() {
			step = 1 + len(blocks)/2
		}
		for i := len(blocks) - 1; i >= 0; i -= step {
			dir, to := image(t, m.dir), filepath.Join(t.TempDir(), "new")
			change(filepath.Join("db", filepath.Base(path)), func(b []byte) []byte { return flipAt(b, int(blocks[i].off+blocks[i].size/2)) })(t, dir)
			r, err := Salvage(t.Context(), dir, to, nil, m.o)
			if err != nil {
				t.Fatal(err)
			}
			lost := strings.Join(r.LostRows, "; ")
			for _, name := range r.LostRows {
				named[name] = true
			}
			after := contents(to)
			for key, was := range before {
				kind := deliveryRows
				switch {
				case strings.HasPrefix(key, "meta "):
					kind = metaRows
				case !strings.Contains(key, " "), strings.HasPrefix(key, "destination "):
					continue // events that are lost are listed, and the numbers follow from the events
				}
				if after[key] != was && !slices.ContainsFunc(kind.names(), func(name string) bool { return strings.Contains(lost, name) }) {
					t.Fatalf("block %d of %s: %s is %.200s, was %.200s; named are %q", i, filepath.Base(path), key, after[key], was, lost)
				}
			}
			if r.Claims < sound.Claims && !strings.Contains(lost, claimRows.names()[0]) {
				t.Errorf("block %d of %s: %d claims of %d; named are %q", i, filepath.Base(path), r.Claims, sound.Claims, lost)
			}
		}
	}
	if !named[deliveryRows.names()[0]] || !named[metaRows.names()[0]] {
		t.Errorf("only %v were named: no block was broken that matters", named)
	}
}
