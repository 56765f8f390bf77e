package badgerstore

import (
	"errors"
	"io"
)

// segmentReader reads the frames of a segment one after the other, with a window that is as large as the largest frame.
type segmentReader struct {
	f    file
	size int64
	gen  uint64
	gaps bool   // frames may begin on the next block
	off  int64  // of buf in the file
	buf  []byte // read and not used yet
}

const readChunk = 1 << 20

func newSegmentReader(f file, size int64, info segmentInfo) *segmentReader {
	// Without the hint it is only slower.
	_ = f.Sequential(segmentHeader)
	return &segmentReader{f: f, size: size, gen: info.gen, gaps: info.direct, off: segmentHeader}
}

// fill makes at least n bytes available, or as many as the file has.
func (r *segmentReader) fill(n int) error {
	if len(r.buf) >= n {
		return nil
	}
	end := r.off + int64(len(r.buf))
	want := min(int64(max(n-len(r.buf), readChunk)), r.size-end)
	if want <= 0 {
		return nil
	}
	grown := make([]byte, len(r.buf)+int(want))
	copy(grown, r.buf)
	got, err := r.f.ReadAt(grown[len(r.buf):], end)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	r.buf = grown[:len(r.buf)+got]
	return nil
}

func (r *segmentReader) skip(n int) {
	r.off += int64(n)
	r.buf = r.buf[n:]
}

// next returns the frame at the present place, or the one with the number seq behind a gap, and moves behind it; nil if there is none. Its payload is valid until the
// next call.
func (r *segmentReader) next(seq uint64) (*frame, error) {
	f, err := r.here()
	gap := int(wholeBlocks(r.off) - r.off)
	if f != nil || err != nil || !r.gaps || gap == 0 {
		return f, err
	}
	if err := r.fill(gap); err != nil || len(r.buf) < gap {
		return nil, err
	}
	off, buf := r.off, r.buf
	r.skip(gap)
	if f, err = r.here(); err == nil && (f == nil || f.seq != seq) {
		f, r.off, r.buf = nil, off, buf
	}
	return f, err
}

// here returns the frame at the present place and moves behind it; nil if there is none.
func (r *segmentReader) here() (*frame, error) {
	if err := r.fill(frameHeader); err != nil {
		return nil, err
	}
	if len(r.buf) < frameHeader {
		return nil, nil
	}
	n := int64(be.Uint32(r.buf))
	if n < eventHeader || n > r.size-r.off-frameHeader {
		return nil, nil
	}
	if err := r.fill(frameSize(int(n))); err != nil {
		return nil, err
	}
	f, took := parseFrame(r.buf, r.gen)
	if took == 0 {
		return nil, nil
	}
	r.skip(took)
	return &f, nil
}

// search moves on to the next intact frame with a number above seq, wherever it begins; nil if there is none.
func (r *segmentReader) search(seq uint64) (*frame, error) {
	for {
		if err := r.fill(frameHeader); err != nil {
			return nil, err
		}
		if len(r.buf) < frameHeader {
			return nil, nil
		}
		// Numbers of neighbours are close, so nearly all places are ruled out without a checksum.
		if at := be.Uint64(r.buf[8:]); at > seq && at-seq < 1<<32 {
			f, err := r.here()
			if f != nil || err != nil {
				return f, err
			}
		}
		r.skip(8)
	}
}
