package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestOpenDamaged opens stores with every kind of damage. Opening fails with an error that names the file and the way out, or else every event that
// is not there any more is one that the store says is damaged; nothing is delivered with other bytes than its own, and nothing panics.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	before := snapshotOf(t, m.s)
	crashed := image(t, m.dir)
	m.close()
	for kind, whole := range map[string]string{"closed": m.dir, "crashed": crashed} {
		for name, damage := range damages {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := image(t, whole)
				file := damage(t, dir)
				switch {
				case file == "":
					t.Skip("there is no such file")
				case strings.HasSuffix(file, ".mem"):
					file = markName // its broken end looks like one that was never written; what is missing shows there
				}
				s, err := Open(dir, m.o)
				if err != nil {
					if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "caddy webhooks store salvage") {
						t.Errorf("the error does not name %s and the way out: %v", file, err)
					}
					t.Log(err)
					return
				}
				defer s.Close()
				missing, damaged := 0, 0
				for id, body := range m.bodies {
					if before[id.String()] == "" {
						continue // pruned before
					}
					switch ev, err := s.Event(t.Context(), id); {
					case errors.Is(err, queue.ErrDamaged):
						damaged++
					case err != nil:
						missing++
					case string(ev.Body) != body:
						t.Errorf("%s has a body that is not its own", id)
					}
				}
				t.Logf("%s: opened; %d events damaged, %d missing", file, damaged, missing)
				if missing > 0 {
					t.Errorf("%s: opened without a word, and %d events are missing", file, missing)
				}
			})
		}
	}
}

// TestOpenEmptyFiles opens a store in which a crash has left empty files.
func TestOpenEmptyFiles(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	before := snapshotOf(t, m.s)
	dir := image(t, m.dir)
	m.close()
	for _, name := range []string{"00999.mem", "009999.vlog", "000000.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, "db", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := *m
	n.dir = dir
	n.open()
	sameContents(t, snapshotOf(t, n.s), before)
	n.close()
}
