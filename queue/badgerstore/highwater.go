package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// The high-water mark says what had been promised when it was written: a store whose newest event, or whose number of commits, is
// below it has lost something.
const markSize = 28

func encodeMark(seq, commits uint64) []byte {
	b := append(make([]byte, 0, markSize), "SLUICEHW"...)
	b = be.AppendUint64(be.AppendUint64(b, seq), commits)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark returns false if the mark is damaged.
func decodeMark(b []byte) (seq, commits uint64, ok bool) {
	if len(b) != markSize || string(b[:8]) != "SLUICEHW" || crc32.Checksum(b[:24], castagnoli) != be.Uint32(b[24:]) {
		return 0, 0, false
	}
	return be.Uint64(b[8:]), be.Uint64(b[16:]), true
}

// writeMark writes the high-water mark if it has moved.
func (s *Store) writeMark() error {
	promised := s.promised.Load()
	if s.o.NoSync {
		promised = s.applier.appliedSeq() // what is only in the journal may be lost without anything being wrong
	}
	mark := encodeMark(promised, s.applier.commits.Load())
	s.markMu.Lock()
	defer s.markMu.Unlock()
	if bytes.Equal(mark, s.marked) {
		return nil
	}
	if err := replaceFile(filepath.Join(s.dir, markName), mark); err != nil {
		return err
	}
	s.marked = mark
	return nil
}

// checkMark compares what was found with the high-water mark.
func (s *Store) checkMark(seq, commits uint64) error {
	path := filepath.Join(s.dir, markName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("high-water mark: %w", err)
	}
	wantSeq, wantCommits, ok := decodeMark(b)
	if !ok {
		s.log.Warn("the high-water mark is damaged; whether the store has lost its newest part cannot be told", zap.String("file", path))
		return nil
	}
	if seq < wantSeq {
		return fmt.Errorf("%w: the store in %s went back in time: its newest event is %s, but %s was acknowledged, says %s%s",
			queue.ErrDamaged, s.dir, queue.ID(seq), queue.ID(wantSeq), path, wayOut)
	}
	if commits < wantCommits {
		return fmt.Errorf("%w: the store in %s went back in time: %d of its commits are missing, says %s, and with them outcomes of deliveries%s",
			queue.ErrDamaged, s.dir, wantCommits-commits, path, wayOut)
	}
	return nil
}
