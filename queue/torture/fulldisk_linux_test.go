package torture

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	smallDisk    = 512 << 20
	strangerStep = 4 << 20
	strangerWait = 25 * time.Millisecond // so a stranger takes 160 MB/s
)

// stranger is somebody else who fills the disk.
type stranger struct {
	t    *testing.T
	path string
}

// fill takes all there is, step by step.
func (s *stranger) fill() {
	f, err := os.Create(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	ticker := time.NewTicker(strangerWait)
	defer ticker.Stop()
	for off, step := int64(0), int64(strangerStep); step >= blockSize; <-ticker.C {
		switch err := unix.Fallocate(int(f.Fd()), 0, off, step); {
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case err != nil:
			s.t.Fatal(err)
		default:
			off += step
		}
	}
}

func (s *stranger) leave() {
	if err := os.Remove(s.path); err != nil {
		s.t.Fatal(err)
	}
}

// until waits for something that is heard from a writer.
func until(t *testing.T, w *child, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-w.silent:
			t.Fatalf("%s: the writer has ended: %v\n%s", what, w.wait(), tail(w.errors.String()))
		case <-deadline.C:
			t.Fatalf("%s: not within a minute\n%s", what, tail(w.errors.String()))
		}
	}
}

// TestFullDisk lets a stranger fill the disk under a store, and go again. The store refuses, lives, and recovers; a start on the full disk is
// refused, or succeeds, but does not end in a crash.
func TestFullDisk(t *testing.T) {
	needs(t, "/dev/loop-control")
	m := mountFile(t, smallDisk)
	model := newModel()
	s := spec{Dir: filepath.Join(m.dir, "store"), Writers: 6, Largest: 32 << 10}
	other := &stranger{t, filepath.Join(m.dir, "stranger")}
	rounds := max(1, fromEnv(t, "SLUICE_TORTURE_CUTS", 3)/10)
	for n := range rounds {
		s.Run++
		w := startWriter(t, &s, model)
		until(t, w, "events before the disk is full", func() bool { acked, _ := model.heard(); return acked > 1000*(n+1) })
		other.fill()
		_, before := model.heard()
		until(t, w, "refusals on the full disk", func() bool { _, full := model.heard(); return full > before })
		if !w.runFor(time.Second) {
			t.Fatalf("the writer has ended on the full disk: %v\n%s", w.wait(), tail(w.errors.String()))
		}
		atFull, _ := model.heard()
		other.leave()
		until(t, w, "events after there is room again", func() bool { acked, _ := model.heard(); return acked > atFull+500 })
		other.fill()
		w.kill(t)
		// A start on a disk without any room.
		if _, err := check(t, &s, model, false); err != nil && !strings.Contains(err.Error(), "store is full") {
			t.Fatalf("a start on the full disk: %v", err)
		}
		other.leave()
		r, err := check(t, &s, model, true)
		if err != nil {
			t.Fatalf("a start when there is room again: %v", err)
		}
		for _, what := range append(append(r.Lost, r.Wrong...), model.wrong...) {
			t.Errorf("round %d: %s", n, what)
		}
	}
	acked, full := model.heard()
	t.Logf("%d times a full disk: %d events acknowledged, none lost, %d calls refused, no crash", rounds, acked, full)
}

// TestFullDiskAtTheEnd lets a process end by itself on a disk without any room, and starts one there whose store was closed before. Both take the place of the ballast.
func TestFullDiskAtTheEnd(t *testing.T) {
	needs(t, "/dev/loop-control")
	m := mountFile(t, smallDisk)
	model := newModel()
	s := spec{Dir: filepath.Join(m.dir, "store"), Writers: 6, Largest: 32 << 10}
	other := &stranger{t, filepath.Join(m.dir, "stranger")}
	hasBallast := func() bool {
		_, err := os.Stat(filepath.Join(s.Dir, "ballast"))
		return err == nil
	}
	run := func(use func(w *child)) {
		t.Helper()
		s.Run++
		w := startWriter(t, &s, model)
		until(t, w, "events", func() bool { acked, _ := model.heard(); return acked > 1000*s.Run && hasBallast() })
		use(w)
		if err := w.end(); err != nil {
			t.Fatalf("end of the writer: %v\n%s", err, tail(w.errors.String()))
		}
	}
	sound := func() {
		t.Helper()
		r, err := check(t, &s, model, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range append(append(r.Lost, r.Wrong...), model.wrong...) {
			t.Errorf("run %d: %s", s.Run, what)
		}
	}
	run(func(w *child) {
		other.fill()
		_, before := model.heard()
		until(t, w, "refusals on the full disk", func() bool { _, full := model.heard(); return full > before })
	})
	if hasBallast() {
		t.Error("the ballast was not needed to end on a full disk")
	}
	other.leave()
	sound()

	run(func(*child) {})
	other.fill()
	if _, err := check(t, &s, model, false); err != nil && strings.Contains(err.Error(), "LOCK") || hasBallast() {
		t.Errorf("a start on the full disk after a proper end: %v", err)
	}
	other.leave()
	sound()
}
