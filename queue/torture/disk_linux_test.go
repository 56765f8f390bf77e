package torture

import (
	"math/rand/v2"
	"sync"
	"syscall"
)

const blockSize = 4096

// disk is a block device in memory that remembers what a flush has covered. Blocks are never changed once stored, so that a copy of the disk
// shares them.
type disk struct {
	size int64

	mu      sync.Mutex
	durable map[int64][]byte   // by number; a missing block is zeros
	cache   map[int64][][]byte // what was written since the last flush, oldest first
	flushes int
	deaf    bool // flushes are acknowledged and not done
	broken  bool // flushes and, half of the time, writes fail, and what they were about is lost

	trap   int    // writes until spring is called; 0: never
	spring func() // called with mu held
}

func newDisk(size int64) *disk {
	return &disk{size: size, durable: map[int64][]byte{}, cache: map[int64][][]byte{}}
}

var zeros = make([]byte, blockSize)

// block returns the newest version of a block. The caller holds d.mu.
func (d *disk) block(n int64) []byte {
	if versions := d.cache[n]; len(versions) > 0 {
		return versions[len(versions)-1]
	}
	if b := d.durable[n]; b != nil {
		return b
	}
	return zeros
}

// read fills p from an offset and returns how much there was.
func (d *disk) read(p []byte, off int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= d.size {
		return 0
	}
	p = p[:min(int64(len(p)), d.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		done += copy(p[done:], d.block(at / blockSize)[at%blockSize:])
	}
	return len(p)
}

// write stores p at an offset, in the cache.
func (d *disk) write(p []byte, off int64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off+int64(len(p)) > d.size {
		return syscall.ENOSPC
	}
	if d.broken && rand.IntN(2) == 0 {
		return syscall.EIO
	}
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := at / blockSize
		b := append([]byte(nil), d.block(n)...)
		done += copy(b[at%blockSize:], p[done:])
		d.cache[n] = append(d.cache[n], b)
	}
	if d.trap > 0 {
		if d.trap--; d.trap == 0 {
			d.spring()
		}
	}
	return 0
}

// setTrap lets spring be called at the n-th write from now on, while its blocks are not flushed yet.
func (d *disk) setTrap(n int, spring func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trap, d.spring = n, spring
}

// flush makes everything durable that was written before.
func (d *disk) flush() syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flushes++
	switch {
	case d.broken:
		return syscall.EIO
	case d.deaf:
		return 0
	}
	for n, versions := range d.cache {
		d.durable[n] = versions[len(versions)-1]
	}
	clear(d.cache)
	return 0
}

// clone returns a copy on which everything is durable.
func (d *disk) clone() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cut(nil, 1)
}

// cut returns the disk as a power cut leaves it: what was flushed, and of each block that was written since, with the given probability, any of
// its versions; without random always the newest. The disk itself goes on. The caller holds d.mu.
func (d *disk) cut(random *rand.Rand, survives float64) *disk {
	after := newDisk(d.size)
	for n, b := range d.durable {
		after.durable[n] = b
	}
	for n, versions := range d.cache {
		switch {
		case random == nil:
			after.durable[n] = versions[len(versions)-1]
		case random.Float64() < survives:
			after.durable[n] = versions[random.IntN(len(versions))]
		}
	}
	return after
}

// setDeaf makes the disk lie about flushes from now on.
func (d *disk) setDeaf() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deaf = true
}

// setBroken makes the disk fail from now on.
func (d *disk) setBroken() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = true
}
