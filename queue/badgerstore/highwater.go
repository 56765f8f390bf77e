package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// highWater is the high-water mark: what had been promised when it was written. A store whose newest event, or whose number of commits, is below it has lost
// something, and so has one whose journal does not have its newest segment any more.
type highWater struct {
	seq, commits uint64
	segment      uint64 // number of the first event of the journal's newest segment; 0: the database has everything
}

const (
	markMagic       = "SLUICEHW"
	markSize        = 28
	markSegmentSize = markSize + 8 // with a segment; earlier versions, which see to it that no segment is left, do not read it
)

func (m highWater) encode() []byte {
	b := append(make([]byte, 0, markSegmentSize), markMagic...)
	b = be.AppendUint64(be.AppendUint64(b, m.seq), m.commits)
	if m.segment != 0 {
		b = be.AppendUint64(b, m.segment)
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark returns false if the mark is damaged.
func decodeMark(b []byte) (m highWater, ok bool) {
	n := len(b) - 4
	if len(b) != markSize && len(b) != markSegmentSize || string(b[:len(markMagic)]) != markMagic || crc32.Checksum(b[:n], castagnoli) != be.Uint32(b[n:]) {
		return m, false
	}
	m.seq, m.commits = be.Uint64(b[8:]), be.Uint64(b[16:])
	if len(b) == markSegmentSize {
		m.segment = be.Uint64(b[24:])
	}
	return m, true
}

// writeMark writes the high-water mark if it has moved.
func (s *Store) writeMark() error {
	s.markMu.Lock()
	defer s.markMu.Unlock()
	m := highWater{seq: s.promised.Load(), commits: s.applier.commits.Load(), segment: s.newestSegment}
	if s.o.NoSync {
		m.seq = s.applier.appliedSeq() // what is only in the journal may be lost without anything being wrong
	}
	mark := m.encode()
	if bytes.Equal(mark, s.marked) {
		return nil
	}
	if err := replaceFile(filepath.Join(s.dir, markName), mark); err != nil {
		return err
	}
	s.marked = mark
	return nil
}

// noteSegment writes durably which segment is the journal's newest, before anything in it is promised; 0 says that there is none to miss any more, before the last one is
// freed.
func (s *Store) noteSegment(base uint64) error {
	s.markMu.Lock()
	same := s.newestSegment == base
	s.newestSegment = base
	s.markMu.Unlock()
	err := s.writeMark()
	if err == nil && !same {
		err = s.o.files.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("high-water mark: %w", err)
	}
	return nil
}

// hasSegment reports whether the journal's segment that begins with an event is among those that were found.
func hasSegment(found []doneSegment, base uint64) bool {
	return slices.ContainsFunc(found, func(s doneSegment) bool { return filepath.Base(s.path) == filepath.Base(segmentPath("", base)) })
}

// checkMark compares what was found with the high-water mark.
func (s *Store) checkMark(seq, commits uint64, segments []doneSegment) error {
	path := filepath.Join(s.dir, markName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("high-water mark: %w", err)
	}
	want, ok := decodeMark(b)
	if !ok {
		s.log.Warn("the high-water mark is damaged; whether the store has lost its newest part cannot be told", zap.String("file", path))
		return nil
	}
	s.newestSegment = want.segment
	if lost, _ := want.lost(seq, commits, segments); lost != "" {
		return fmt.Errorf("%w: the store in %s went back in time: %s, says %s%s", queue.ErrDamaged, s.dir, lost, path, wayOut)
	}
	return nil
}

// lost says what a store has lost since the mark was written, and whether events are among it; "" if it has everything.
func (m highWater) lost(seq, commits uint64, segments []doneSegment) (what string, events bool) {
	switch {
	case seq < m.seq:
		return fmt.Sprintf("its newest event is %s, but %s was acknowledged", queue.ID(seq), queue.ID(m.seq)), true
	case m.segment != 0 && !hasSegment(segments, m.segment):
		return fmt.Sprintf("its journal's newest file, %s, is missing, and with it what was acknowledged last", filepath.Base(segmentPath("", m.segment))), true
	case commits < m.commits:
		return fmt.Sprintf("%d of its commits are missing, and with them outcomes of deliveries", m.commits-commits), false
	}
	return "", false
}
