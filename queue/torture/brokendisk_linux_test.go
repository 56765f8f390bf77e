package torture

import (
	"path/filepath"
	"testing"
	"time"
)

// TestBrokenDisk lets the disk refuse flushes and writes. The store has to stop promising at once, and everything that it had promised is there
// when the disk works again.
func TestBrokenDisk(t *testing.T) {
	needsDisk(t)
	empty := formatted(t)
	c := newCutter(t)
	rounds := max(1, fromEnv(t, "SLUICE_TORTURE_CUTS", 3)/5)
	for n := range rounds {
		c.disk = empty.clone()
		c.model.forget()
		c.spec.Run++
		c.breakOnce(n)
		r, err := c.check(true)
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		for _, what := range append(append(r.Lost, r.Wrong...), c.model.wrong...) {
			t.Errorf("round %d: %s", n, what)
		}
	}
	t.Logf("the disk broke %d times: %d events acknowledged before, none lost; %d stored and not acknowledged", rounds, c.model.acked, c.unheard)
}

// breakOnce lets a process use the store until the disk breaks, and repairs the disk.
func (c *cutter) breakOnce(n int) {
	t := c.t
	m := mountDisk(t, c.disk, false)
	s := c.spec
	s.Dir = filepath.Join(m.dir, "store")
	w := startWriter(t, &s, c.model)
	if !w.openFor(200*time.Millisecond + time.Duration(c.random.IntN(500))*time.Millisecond) {
		t.Fatalf("round %d: the writer ended by itself: %v\n%s", n, w.wait(), tail(w.errors.String()))
	}
	c.disk.setBroken()
	if w.runFor(time.Minute) {
		t.Errorf("round %d: the store goes on without a disk", n)
		w.kill(t)
	} else if err := w.wait(); err == nil {
		t.Errorf("round %d: the store was closed on a broken disk, and nothing was wrong with it", n)
	}
	c.model.mu.Lock()
	failed := c.model.failed
	c.model.failed = ""
	c.model.mu.Unlock()
	if failed == "" {
		t.Errorf("round %d: the store never said that it has failed:\n%s", n, tail(w.errors.String()))
	}
	// What the disk has refused is lost, and the kernel still has it: it goes with the mount.
	c.disk.mu.Lock()
	after := c.disk.cut(c.random, 0)
	c.disk.mu.Unlock()
	if err := m.unmount(); err != nil {
		t.Fatal(err)
	}
	c.disk = after
}
