package torture

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const diskSize = 1 << 30

// needsDisk skips a test where this process cannot play a disk.
func needsDisk(t *testing.T) {
	t.Helper()
	needs(t, "/dev/fuse", "/dev/loop-control")
}

// formatted returns a disk with an empty ext4.
func formatted(t *testing.T) *disk {
	t.Helper()
	d := newDisk(diskSize)
	m := mountDisk(t, d, true)
	if err := m.unmount(); err != nil {
		t.Fatal(err)
	}
	return d.clone()
}

// cutter cuts the power of a disk while a store writes to it.
type cutter struct {
	t      *testing.T
	random *rand.Rand
	spec   spec
	model  *model
	disk   *disk
	deaf   bool

	cuts, unflushed, unheard int
	losses                   int // cuts after which something was missing
	lost                     int // events, at most mostFindings for each cut
	refused                  int // cuts after which the store said itself that something is missing
	slowest                  time.Duration
}

func newCutter(t *testing.T) *cutter {
	return &cutter{
		t: t, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), model: newModel(),
		spec: spec{Writers: 6, Largest: 32 << 10},
	}
}

// cut lets a process use the store for a while, and cuts the power.
func (c *cutter) cut() {
	t := c.t
	c.spec.Run++
	s := c.spec
	m := mountDisk(t, c.disk, false)
	s.Dir = filepath.Join(m.dir, "store")
	w := startWriter(t, &s, c.model)
	ran := true
	if c.cuts%5 == 4 {
		w.runFor(time.Duration(c.random.IntN(150)) * time.Millisecond) // while it opens
	} else if c.deaf {
		if ran = w.openFor(200 * time.Millisecond); ran {
			c.disk.setDeaf()
			ran = w.runFor(300 * time.Millisecond)
		}
	} else {
		ran = w.openFor(100*time.Millisecond + time.Duration(c.random.IntN(1200))*time.Millisecond)
	}
	if !ran {
		t.Fatalf("cut %d: the writer ended by itself: %v\n%s", c.cuts, w.wait(), tail(w.errors.String()))
	}
	after := c.now()
	w.kill(t)
	if err := m.unmount(); err != nil {
		t.Fatal(err)
	}
	c.cuts++
	c.disk = after
}

// now cuts the power: at once, or at one of the next writes, when there is most to lose. What was heard before counts. None, some or all of what
// was not flushed survives.
func (c *cutter) now() *disk {
	cut := make(chan *disk, 1)
	spring := func() {
		c.model.mu.Lock()
		defer c.model.mu.Unlock()
		if c.model.frozen {
			return
		}
		c.model.frozen = true
		c.unflushed += len(c.disk.cache)
		cut <- c.disk.cut(c.random, float64(c.random.IntN(3))/2)
	}
	wait := time.Duration(0)
	if c.cuts%3 != 0 {
		c.disk.setTrap(1+c.random.IntN(40), spring)
		wait = time.Second
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case after := <-cut:
		return after
	case <-timer.C: // nobody writes any more
	}
	c.disk.mu.Lock()
	spring()
	c.disk.mu.Unlock()
	return <-cut
}

// check compares what is left on the disk with what was heard. It returns an error if the file system or the store cannot be opened.
func (c *cutter) check(finish bool) (*report, error) {
	t := c.t
	m, err := tryMountDisk(t, c.disk, false)
	if err != nil {
		return nil, errors.Join(err, m.unmount())
	}
	s := c.spec
	s.Dir = filepath.Join(m.dir, "store")
	r, err := check(t, &s, c.model, finish)
	if err := m.unmount(); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		c.unheard += r.Unheard
		c.slowest = max(c.slowest, r.Opening)
	}
	return r, err
}

// TestPowerCut cuts the power again and again. Nothing that was promised may be missing.
func TestPowerCut(t *testing.T) {
	needsDisk(t)
	empty := formatted(t)
	for _, v := range []struct {
		name string
		key  []byte
		cuts int
	}{
		{"Plain", nil, fromEnv(t, "SLUICE_TORTURE_CUTS", 3)},
		{"Encrypted", []byte("0123456789abcdef"), (fromEnv(t, "SLUICE_TORTURE_CUTS", 3) + 4) / 5},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCutter(t)
			c.spec.Key = v.key
			for n := range v.cuts {
				if n%10 == 0 {
					c.disk = empty.clone()
					c.model.forget()
				}
				c.cut()
				r, err := c.check(n%finishEvery == finishEvery-1)
				if err != nil {
					t.Fatalf("cut %d: %v", n, err)
				}
				for _, what := range append(append(r.Lost, r.Wrong...), c.model.wrong...) {
					t.Errorf("cut %d: %s", n, what)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("%d power cuts, each with %d blocks on average that no flush had covered: %d events acknowledged and %d steps of deliveries promised, "+
				"none lost, none wrong; %d stored and not acknowledged; slowest open %s",
				c.cuts, c.unflushed/c.cuts, c.model.acked, c.model.settled, c.unheard, c.slowest)
			if c.model.acked == 0 || c.cuts > 1 && c.unflushed == 0 {
				t.Error("nothing was promised, or everything was flushed, so nothing was proven")
			}
		})
	}
}

// TestPowerCutSeesLosses shows that the test above would see what a store without syncing loses: one that leaves its journal to the page
// cache, and one whose disk lies about flushes.
func TestPowerCutSeesLosses(t *testing.T) {
	needsDisk(t)
	empty := formatted(t)
	for _, v := range []struct {
		name         string
		noSync, deaf bool
	}{{"NoSync", true, false}, {"DeafDisk", false, true}} {
		t.Run(v.name, func(t *testing.T) {
			c := newCutter(t)
			c.spec.NoSync, c.deaf = v.noSync, v.deaf
			least := fromEnv(t, "SLUICE_TORTURE_CUTS", 3) / 5
			for c.cuts < least || c.cuts < 10 && c.losses+c.refused == 0 {
				c.disk = empty.clone()
				c.model.forget()
				c.cut()
				r, err := c.check(true)
				switch {
				case err != nil && strings.Contains(err.Error(), "damaged"):
					c.refused++ // the store has noticed
				case err != nil && c.deaf:
					c.refused++ // the disk may have lost anything, a whole file too
				case err != nil:
					t.Fatalf("cut %d: %v", c.cuts, err)
				case len(r.Lost) > 0:
					c.losses++
					c.lost += len(r.Lost)
				}
			}
			t.Logf("%d power cuts without syncing, %d events acknowledged: after %d of them events were missing (%d in all, counted up to %d for each), after %d the store itself "+
				"refused to open", c.cuts, c.model.acked, c.losses, c.lost, mostFindings, c.refused)
			if v.noSync && c.refused > 0 {
				t.Errorf("a store that was told not to sync cannot be opened after a power cut, %d of %d times", c.refused, c.cuts)
			}
			if c.losses+c.refused == 0 {
				t.Error("no loss was seen: the power-cut test proves nothing")
			}
		})
	}
}
