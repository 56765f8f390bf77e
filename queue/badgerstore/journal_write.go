package badgerstore

import (
	"errors"
	"fmt"
	"unsafe"

	"go.uber.org/zap"
)

// diskBlock is what offsets, lengths and addresses of direct writes are multiples of.
const diskBlock = 4096

// wholeBlocks rounds up.
func wholeBlocks(n int64) int64 { return (n + diskBlock - 1) &^ (diskBlock - 1) }

// append writes records of consecutive events from first on as one write and returns when they are durable, with how many bytes fill up its last block. continues says
// of each record whether the next one belongs to the same commit. An error that wraps queue.ErrFull has changed nothing; after any other one the
// journal must not be used any more, because nobody knows what is on the disk.
func (j *journal) append(first uint64, records [][]byte, continues []bool) (gap int, err error) {
	room := 0
	for _, r := range records {
		room += frameSize(len(r) + sealOverhead(j.key))
	}
	if j.cur == nil || !j.cur.takes(room) {
		if err := j.rotate(first, room); err != nil {
			return 0, err
		}
	}
	c := j.cur
	if !c.takes(room) {
		return 0, fmt.Errorf("%d bytes do not fit a journal segment of %d", room, c.cap)
	}
	buf := j.buffer(room)[:0]
	for i, r := range records {
		f := frame{seq: first + uint64(i), behind: uint32(i), continues: continues[i], payload: r}
		buf = appendFrame(buf, c.gen, f, c.cipher)
	}
	if c.direct != nil {
		gap = int(wholeBlocks(int64(len(buf)))) - len(buf)
		buf = buf[:len(buf)+gap]
		clear(buf[len(buf)-gap:])
	}
	if err := j.write(buf, len(records) > 1); err != nil {
		return 0, fmt.Errorf("write journal %s: %w", c.path, err)
	}
	c.off += int64(len(buf))
	c.last = first + uint64(len(records)) - 1
	if cap(j.buf) > 4<<20 {
		j.buf = nil
	}
	return gap, nil
}

// takes reports whether there is room for frames of so many bytes.
func (c *segment) takes(room int) bool {
	if c.direct != nil {
		return c.off+wholeBlocks(int64(room)) <= c.cap
	}
	return c.off+int64(room) <= c.cap
}

// buffer returns memory for n bytes and the rest of their last block.
func (j *journal) buffer(n int) []byte {
	if want := int(wholeBlocks(int64(n))); cap(j.buf) < want {
		raw := make([]byte, want+want/2+diskBlock)
		j.buf = raw[-uintptr(unsafe.Pointer(&raw[0]))&(diskBlock-1):]
	}
	return j.buf
}

// write makes bytes durable at the end of the current segment, with company aside: others want to use the processor meanwhile. To do so for a lone record would only
// cost it time.
func (j *journal) write(b []byte, company bool) error {
	c := j.cur
	if c.direct == nil {
		if _, err := c.file.WriteAt(b, c.off); err != nil || j.noSync {
			return err
		}
	}
	if fd, ok := c.fd(); ok && company && j.aside != nil {
		var err error
		if c.direct == nil {
			err = j.aside.sync(fd)
		} else {
			err = j.aside.write(fd, b, c.off)
		}
		if !errors.Is(err, errAside) {
			return err
		}
		j.log.Warn("the kernel takes no asynchronous I/O any more; commits go on without", zap.Error(err))
		j.closeAside()
	}
	if c.direct == nil {
		return c.file.Sync()
	}
	return c.direct.WriteDurable(b, c.off)
}

// fd is what the kernel knows the segment's file by; false where it is no file of the kernel's.
func (c *segment) fd() (uintptr, bool) {
	var f any = c.file
	if c.direct != nil {
		f = c.direct
	}
	h, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	return h.Fd(), true
}

// errAside means that asynchronous I/O is not to be had: nothing was submitted, and it has to be done in another way.
var errAside = errors.New("asynchronous I/O is not to be had")

func (j *journal) closeAside() {
	if j.aside != nil {
		j.logError("close asynchronous I/O", j.aside.close())
		j.aside = nil
	}
}

// openDirect opens the file of a new segment to be written past the system's cache, and writes its header so; nil where that is not to be had.
func (j *journal) openDirect(path string, next *segment) directFile {
	if j.noSync || next.cap%diskBlock != 0 {
		return nil
	}
	f, err := j.fs.OpenDirect(path)
	if err == nil {
		next.segmentInfo.direct = true
		header := j.buffer(segmentHeader)[:segmentHeader]
		copy(header, next.encode())
		if err = f.WriteDurable(header, 0); err == nil {
			return f
		}
		next.segmentInfo.direct = false
		err = errors.Join(err, f.Close())
	}
	j.log.Debug("journal is written through the system's cache", zap.Error(err))
	return nil
}
