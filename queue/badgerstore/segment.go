package badgerstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// A journal segment is a file of fixed size: a header of 4 KiB, then frames one after the other, each on a multiple of 8 bytes. In one of version 2 each
// write begins on a multiple of a block; zeros fill the one before.
//
// header:
//
//	0  magic    8 bytes
//	8  gen      u64       random; different each time a file is used anew
//	16 base     u64       number of the first event
//	24 flags    u32       flagSealed: frames are encrypted; flagLoose: they were not synced one after the other
//	28 blocks   u32       size of the file, in blocks; 0: unknown, an earlier version has made it
//	32 salt     16 bytes  of the segment's encryption key
//	48 crc      u32       CRC32C of the bytes before it
//
// frame:
//
//	0  len     u32  of the payload
//	4  crc     u32  CRC32C of gen, of the frame without this field, and of the payload
//	8  seq     u64  of the event
//	16 behind  u32  how many frames before this one were not known to be durable when it was written; all before them were
//	20 flags   u32  frameContinues
//	24 payload      the event's record (event.go), encrypted if the segment is
//
// The generation is in every checksum because a recycled file still holds the frames of its former life behind the new ones.
const (
	segmentMagic  = "SLUICEJ1" // the last byte is the version
	directVersion = '2'
	segmentHeader = diskBlock
	frameHeader   = 24

	flagSealed = 1
	flagLoose  = 2

	// frameContinues marks a frame that belongs to one commit with the frame after it: both count, or none.
	frameContinues = 1
)

type segmentInfo struct {
	gen, base uint64
	sealed    bool
	loose     bool
	direct    bool  // it is written block by block: there may be gaps
	fullSize  int64 // the file has as many bytes, or it was cut
	salt      [16]byte
}

func newSegmentInfo(base uint64, sealed, loose bool) (segmentInfo, error) {
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		return segmentInfo{}, fmt.Errorf("random generation: %w", err)
	}
	info := segmentInfo{gen: be.Uint64(random[:]), base: base, sealed: sealed, loose: loose}
	copy(info.salt[:], random[8:])
	return info, nil
}

func (i *segmentInfo) encode() []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	if i.direct {
		b[7] = directVersion
	}
	be.PutUint64(b[8:], i.gen)
	be.PutUint64(b[16:], i.base)
	var flags uint32
	if i.sealed {
		flags |= flagSealed
	}
	if i.loose {
		flags |= flagLoose
	}
	be.PutUint32(b[24:], flags)
	be.PutUint32(b[28:], uint32(i.fullSize/diskBlock))
	copy(b[32:], i.salt[:])
	be.PutUint32(b[48:], crc32.Checksum(b[:48], castagnoli))
	return b
}

var errSegmentHeader = errors.New("header of the journal segment is damaged")

func decodeSegmentInfo(b []byte) (segmentInfo, error) {
	if len(b) < 52 || string(b[:7]) != segmentMagic[:7] || crc32.Checksum(b[:48], castagnoli) != be.Uint32(b[48:]) {
		return segmentInfo{}, errSegmentHeader
	}
	if b[7] != segmentMagic[7] && b[7] != directVersion {
		return segmentInfo{}, fmt.Errorf("%w: the journal segment has format %q, this version reads up to %q", ErrFormat, b[7], directVersion)
	}
	flags := be.Uint32(b[24:])
	i := segmentInfo{gen: be.Uint64(b[8:]), base: be.Uint64(b[16:]), sealed: flags&flagSealed != 0, loose: flags&flagLoose != 0, direct: b[7] == directVersion,
		fullSize: int64(be.Uint32(b[28:])) * diskBlock}
	copy(i.salt[:], b[32:])
	return i, nil
}

// frame is one event in a segment.
type frame struct {
	seq       uint64
	behind    uint32
	continues bool
	payload   []byte
}

func frameSize(payload int) int { return (frameHeader + payload + 7) &^ 7 }

// appendFrame appends a frame to what is going to be written. seal, if there is one, encrypts the payload.
func appendFrame(buf []byte, gen uint64, f frame, seal *frameCipher) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, frameHeader)...)
	if seal != nil {
		buf = seal.seal(buf, f.seq, f.payload)
	} else {
		buf = append(buf, f.payload...)
	}
	h := buf[at:]
	be.PutUint32(h, uint32(len(h)-frameHeader))
	be.PutUint64(h[8:], f.seq)
	be.PutUint32(h[16:], f.behind)
	if f.continues {
		be.PutUint32(h[20:], frameContinues)
	}
	be.PutUint32(h[4:], frameSum(gen, h))
	for len(buf)&7 != 0 {
		buf = append(buf, 0)
	}
	return buf
}

func frameSum(gen uint64, b []byte) uint32 {
	var seed [8]byte
	be.PutUint64(seed[:], gen)
	sum := crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, b[:4])
	return crc32.Update(sum, castagnoli, b[8:])
}

// parseFrame reads the frame at the beginning of b. It returns the bytes it takes, 0 if there is no intact frame of this generation.
func parseFrame(b []byte, gen uint64) (frame, int) {
	if len(b) < frameHeader {
		return frame{}, 0
	}
	n := uint64(be.Uint32(b))
	if n < eventHeader || n > uint64(len(b)-frameHeader) {
		return frame{}, 0
	}
	whole := b[:frameHeader+n]
	if frameSum(gen, whole) != be.Uint32(b[4:]) {
		return frame{}, 0
	}
	return frame{
		seq:       be.Uint64(b[8:]),
		behind:    be.Uint32(b[16:]),
		continues: be.Uint32(b[20:])&frameContinues != 0,
		payload:   whole[frameHeader:],
	}, min(frameSize(int(n)), len(b))
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.seg", base))
}

func freePath(dir string, gen uint64) string {
	return filepath.Join(dir, fmt.Sprintf("free-%016x", gen))
}
