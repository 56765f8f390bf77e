package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// seqSet is a set of events.
type seqSet map[uint64]uint64

func (s seqSet) add(seq uint64) { s[blockOf(seq)] |= bitOf(seq) }

func (s seqSet) has(seq uint64) bool { return s[blockOf(seq)]&bitOf(seq) != 0 }

// eventCopy is where a record of an event lies beside its row in the database.
type eventCopy struct {
	segment  *rawSegment // in the journal
	log      *rawLog     // in the value log
	off      int64
	size     uint32
	promised bool // the journal says that it was acknowledged
}

// rawSegment is a file of the journal, in use or free.
type rawSegment struct {
	path   string
	f      *os.File
	size   int64
	info   segmentInfo
	sound  bool // the header is
	inUse  bool
	cipher *frameCipher
}

// copies finds records of events outside of the database's tables.
type copies struct {
	found    map[uint64]eventCopy
	segments []*rawSegment
	cut      bool // the newest segment in use has lost its end
	report   *Report
}

// inUse returns the segments that hold what was acknowledged.
func (c *copies) inUse() (segments []doneSegment) {
	for _, s := range c.segments {
		if s.inUse {
			segments = append(segments, doneSegment{path: s.path})
		}
	}
	return segments
}

func (c *copies) close() {
	for _, s := range c.segments {
		_ = s.f.Close() // it was only read
	}
}

// read returns the record of an event, checked; false if there is no intact copy.
func (c *copies) read(seq uint64) ([]byte, bool) {
	at, ok := c.found[seq]
	if !ok {
		return nil, false
	}
	var rec []byte
	if at.log != nil {
		e, err := at.log.at(at.off, at.size)
		if err != nil {
			return nil, false
		}
		rec = e.value
	} else {
		rec = make([]byte, at.size)
		if _, err := at.segment.f.ReadAt(rec, at.off); err != nil {
			return nil, false
		}
		if at.segment.cipher != nil {
			var err error
			if rec, err = at.segment.cipher.open(seq, rec); err != nil {
				return nil, false
			}
		}
	}
	_, _, sound := splitEvent(rec, seq, true)
	return rec, sound
}

// readJournal notes the events in all files of the journal; those above applied were acknowledged and are nowhere else.
func (c *copies) readJournal(dir string, key []byte, applied uint64) error {
	for _, pattern := range []string{journalPattern, freePattern} {
		paths, err := filesIn(dir, pattern)
		if err != nil {
			return err
		}
		slices.Sort(paths)
		for _, path := range paths {
			s, err := openRawSegment(path, key)
			if err != nil {
				c.report.file("journal", path, err, outSalvage)
				continue
			}
			if s.inUse = pattern == journalPattern; s.inUse {
				c.lookAtFile(s)
			}
			c.segments = append(c.segments, s)
			c.readSegment(s, applied)
		}
	}
	return nil
}

// lookAtFile reports what is wrong with a segment as a whole. They come in order of their events.
func (c *copies) lookAtFile(s *rawSegment) {
	if !s.sound {
		c.report.file("journal", s.path, errors.New("its header is broken; its frames are taken by their own checksums"), outSalvage)
	}
	if c.cut = s.size < s.info.fullSize; c.cut {
		c.report.file("journal", s.path, fmt.Errorf("has lost its end: it has %d bytes of %d", s.size, s.info.fullSize), outSalvage)
	}
}

func openRawSegment(path string, key []byte) (*rawSegment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &rawSegment{path: path, f: f}
	info, err := f.Stat()
	if err == nil {
		s.size = info.Size()
		header := make([]byte, min(segmentHeader, s.size))
		readLenient(f, header, 0)
		s.info, err = decodeSegmentInfo(header)
		s.sound = err == nil
		err = nil
	}
	if err == nil && s.sound && s.info.sealed {
		if s.cipher, err = newFrameCipher(key, s.info.salt); err == nil && s.cipher == nil {
			err = fmt.Errorf("%w: it is encrypted, and no key was given", ErrKey)
		}
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	return s, nil
}

// readSegment looks at every place where a frame can begin. A frame counts by its own checksum, or by its record's.
func (c *copies) readSegment(s *rawSegment, applied uint64) {
	w := window{f: s.f, size: s.size, off: segmentHeader}
	for {
		w.fill(frameHeader + eventHeader)
		if len(w.buf) < frameHeader+eventHeader {
			return
		}
		n := int64(be.Uint32(w.buf))
		seq := be.Uint64(w.buf[8:])
		if n < eventHeader || n > s.size-w.off-frameHeader || seq == 0 {
			w.skip(8)
			continue
		}
		w.fill(frameSize(int(n)))
		intact := s.sound && c.intactFrame(s, w.buf, n)
		if !intact && !c.intactRecord(s, w.buf[frameHeader:frameHeader+n], seq) {
			w.skip(8)
			continue
		}
		at := eventCopy{segment: s, off: w.off + frameHeader, size: uint32(n), promised: intact && s.inUse && seq > applied}
		if before, ok := c.found[seq]; !ok || at.promised && !before.promised {
			c.found[seq] = at
		}
		w.skip(frameSize(int(n)))
	}
}

func (c *copies) intactFrame(s *rawSegment, b []byte, n int64) bool {
	return frameSum(s.info.gen, b[:frameHeader+n]) == be.Uint32(b[4:])
}

func (c *copies) intactRecord(s *rawSegment, rec []byte, seq uint64) bool {
	if s.cipher != nil {
		return false // it is sealed, and its frame is broken
	}
	_, _, sound := splitEvent(rec, seq, true)
	return sound
}

// readValues notes the events in the value log of which the database's tables say nothing.
func (c *copies) readValues(db *rawDB, known seqSet) error {
	for _, l := range db.values {
		_, err := l.each(func(e logEntry) error {
			key, _ := splitVersion(e.key)
			if len(key) != 9 || key[0] != tabEvent || e.meta&rawDeleted != 0 {
				return nil
			}
			seq := be.Uint64(key[1:])
			if _, _, sound := splitEvent(e.value, seq, true); !sound || known.has(seq) {
				return nil
			}
			if _, ok := c.found[seq]; !ok {
				c.found[seq] = eventCopy{log: l, off: e.off, size: uint32(e.size)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unlisted returns the events that have no row in the database and are to be carried all the same, in order.
func (c *copies) unlisted(known seqSet, pruned func(seq uint64) bool, damaged bool) []uint64 {
	var seqs []uint64
	for seq, at := range c.found {
		if known.has(seq) || !at.promised && (!damaged || pruned(seq)) {
			continue
		}
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}
