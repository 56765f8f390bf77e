package badgerstore

import (
	"encoding/binary"
	"hash/crc32"
)

// The tables of the store: the first byte of each of Badger's keys. Numbers in keys are big-endian, so that byte order is their order.
const (
	tabEvent     = 'E' // seq: the event (codec.go); the only rows that live in the value log
	tabFIFO      = 'Q' // destination, block: first attempts in order of arrival, 64 events to a row (block.go)
	tabScheduled = 'R' // destination, due, seq: deliveries that wait for a moment
	tabParked    = 'K' // destination, hash of the order key, turn: deliveries behind an older one of their order key
	tabOwner     = 'B' // destination, hash of the order key: the delivery the others of the key wait for
	tabDelivery  = 'H' // seq, destination: state of a delivery; absent as long as nothing has happened to it
	tabAttempt   = 'A' // seq, destination, number: attempts but the last one, which is in the delivery's row
	tabOpen      = 'P' // destination, seq: unsettled deliveries that have left the FIFO
	tabDead      = 'D' // seq, destination: dead letters; the class of the last failure, where it was known when the row was written
	tabStraggler = 'S' // seq: events the pruner has passed and has to come back to
	tabClaim     = 'X' // bucket, hash of source and dedup key: dedup claims, as earlier versions wrote them
	tabClaimLog  = 'L' // bucket, row: dedup claims in the order in which they came (claim_log.go)
	tabClaimPage = 'C' // bucket, page, row of the page: dedup claims by their hashes (claim_page.go)
	tabMeta      = 'M' // name: the store's own bookkeeping
	tabUser      = 'U' // key: what queue.Metadata keeps
	tabFilter    = 'F' // bucket, row: the Bloom filter of a bucket's claims (claim_filter_rows.go); follows from them
	tabPadding   = '-' // only deletions, of rows that never were (gc.go)
	tabZone      = 'Z' // kind, zone, ...: what occurs in each 4096 consecutive events (zone.go); follows from them, and older versions ignore it
)

var (
	keyFormat  = []byte{tabMeta, 'f'}
	keyApplied = []byte{tabMeta, 'a'}
	keyPruner  = []byte{tabMeta, 'p'}

	prefixDest   = []byte{tabMeta, 'd'}
	prefixSource = []byte{tabMeta, 's'}
	prefixBucket = []byte{tabMeta, 'x'}
)

var be = binary.BigEndian

func key8(table byte, n uint64) []byte {
	return be.AppendUint64(append(make([]byte, 0, 9), table), n)
}

func eventKey(seq uint64) []byte { return key8(tabEvent, seq) }

func stragglerKey(seq uint64) []byte { return key8(tabStraggler, seq) }

func destTable(table byte, dest uint16, room int) []byte {
	return be.AppendUint16(append(make([]byte, 0, 3+room), table), dest)
}

func fifoKey(dest uint16, block uint64) []byte {
	return be.AppendUint64(destTable(tabFIFO, dest, 8), block)
}

func scheduledKey(dest uint16, due int64, seq uint64) []byte {
	return be.AppendUint64(be.AppendUint64(destTable(tabScheduled, dest, 16), uint64(due)), seq)
}

// placedMark stands before a turn with an OrderAt, so that it sorts after those without: no event has a number that begins with it.
const placedMark = 0xff

func parkedKey(dest uint16, hash uint64, t turn) []byte {
	key := be.AppendUint64(destTable(tabParked, dest, 25), hash)
	if t.at != 0 {
		key = be.AppendUint64(append(key, placedMark), uint64(t.at))
	}
	return be.AppendUint64(key, t.seq)
}

// parkedTurn reads the turn out of a key of the table; false if it is none.
func parkedTurn(key []byte) (turn, bool) {
	switch {
	case len(key) == 19:
		return turn{seq: be.Uint64(key[11:])}, true
	case len(key) == 28 && key[11] == placedMark:
		return turn{at: int64(be.Uint64(key[12:])), seq: be.Uint64(key[20:])}, true
	}
	return turn{}, false
}

func ownerKey(dest uint16, hash uint64) []byte {
	return be.AppendUint64(destTable(tabOwner, dest, 8), hash)
}

func openKey(dest uint16, seq uint64) []byte {
	return be.AppendUint64(destTable(tabOpen, dest, 8), seq)
}

func seqTable(table byte, seq uint64, room int) []byte {
	return be.AppendUint64(append(make([]byte, 0, 9+room), table), seq)
}

func deliveryKey(seq uint64, dest uint16) []byte {
	return be.AppendUint16(seqTable(tabDelivery, seq, 2), dest)
}

func deadKey(seq uint64, dest uint16) []byte {
	return be.AppendUint16(seqTable(tabDead, seq, 2), dest)
}

func attemptKey(seq uint64, dest uint16, number int) []byte {
	return be.AppendUint32(be.AppendUint16(seqTable(tabAttempt, seq, 6), dest), uint32(number))
}

func claimKey(bucket uint32, hash [16]byte) []byte {
	return append(claimPrefix(bucket), hash[:]...)
}

// claimPrefix has room for the hash.
func claimPrefix(bucket uint32) []byte {
	return be.AppendUint32(append(make([]byte, 0, 21), tabClaim), bucket)
}

func claimLogPrefix(bucket uint32) []byte {
	return be.AppendUint32(append(make([]byte, 0, 9), tabClaimLog), bucket)
}

func claimLogKey(bucket, row uint32) []byte { return be.AppendUint32(claimLogPrefix(bucket), row) }

func claimPagePrefix(bucket uint32) []byte {
	return be.AppendUint32(append(make([]byte, 0, 10), tabClaimPage), bucket)
}

func claimPageKey(bucket, page uint32, part byte) []byte {
	return append(be.AppendUint32(claimPagePrefix(bucket), page), part)
}

func bucketKey(bucket uint32) []byte {
	return be.AppendUint32(append(make([]byte, 0, 6), prefixBucket...), bucket)
}

func destKey(dest uint16) []byte {
	return be.AppendUint16(append(make([]byte, 0, 4), prefixDest...), dest)
}

func sourceKey(name string) []byte { return append(append([]byte{}, prefixSource...), name...) }

func userKey(name string) []byte { return append([]byte{tabUser}, name...) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of a row: of its key too, so that a value under the wrong key is seen.
func seal(key, value []byte) []byte {
	return be.AppendUint32(value, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
}

// unseal checks a row and returns its value without the checksum; false if the row is damaged.
func unseal(key, sealed []byte) ([]byte, bool) {
	n := len(sealed) - 4
	if n < 0 {
		return nil, false
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[:n])
	return sealed[:n], sum == be.Uint32(sealed[n:])
}
