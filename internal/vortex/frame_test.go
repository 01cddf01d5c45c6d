package vortex

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

const taskA = darter.TaskID("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

// The two worked examples of the format's description, byte by byte.
func TestWorkedExamples(t *testing.T) {
	ask := appendRequest(nil, 0x7f, request{task: taskA, number: 3})
	require.Len(t, ask, 74)
	require.Equal(t, "7f0000000044", hex.EncodeToString(ask[:6]))
	require.Equal(t, string(taskA), string(ask[6:70]))
	require.Equal(t, "00000003", hex.EncodeToString(ask[70:]))

	reply := appendContent(nil, 0x01, TagContent, darter.Piece{Number: 0, Length: 5, CRC: 907060870, HasCRC: true,
		Traffic: darter.FromSource, Cost: 2500 * time.Millisecond, Created: time.Unix(1700000000, 5)})
	require.Equal(t, ""+
		"01"+"01"+"00000040"+ // id, tag, 4 + 60
		"0000003c"+ // M = 45 + 15
		"00000000"+ // number
		"0000000000000000"+"0000000000000005"+ // offset, length
		"0000000f"+hex.EncodeToString([]byte("crc32:907060870"))+
		"00000000"+ // no parent
		"01"+ // traffic: always remote peer
		"0000000000000002"+ // whole seconds
		"000000006553f100", hex.EncodeToString(reply))
}

func TestContentRoundTrip(t *testing.T) {
	want := darter.Piece{Number: 7, Offset: 7 << 22, Length: 1 << 22, CRC: 0, HasCRC: true, Parent: "10.0.0.1-a-b",
		Traffic: darter.FromPeer, Cost: 3 * time.Second, Created: time.Unix(1700000000, 0)}
	got, err := parseContent(appendContent(nil, 0, TagContent, want)[headerSize:])
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestParentTooLongIsLeftOut(t *testing.T) {
	frame := appendContent(nil, 0, TagContent, darter.Piece{Length: 5, HasCRC: true, Parent: darter.PeerID(strings.Repeat("p", maxMeta))})
	got, err := parseContent(frame[headerSize:])
	require.NoError(t, err)
	require.Empty(t, got.Parent)
}

func TestHostileContent(t *testing.T) {
	good := appendContent(nil, 0, TagContent, darter.Piece{Number: 1, Offset: 4, Length: 5, HasCRC: true, CRC: 9, Parent: "p"})[headerSize:]
	change := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	for name, value := range map[string][]byte{
		"empty":               nil,
		"cut":                 good[:len(good)-1],
		"longer":              append(bytes.Clone(good), 0),
		"metadata claim":      change(0, 0xff, 0xff, 0xff, 0xff),
		"negative offset":     change(8, 0x80),
		"negative length":     change(16, 0x80),
		"end past int64":      change(16, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"digest claims 4 GiB": change(24, 0xff, 0xff, 0xff, 0xff),
		"digest is hex":       change(28, []byte("crc32:f")...),
		"over the limit":      append([]byte{0, 0, 0x10, 1}, make([]byte, maxMeta+1)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseContent(value)
			require.Error(t, err)
		})
	}
}

func TestCostBeyondDurations(t *testing.T) {
	value := appendContent(nil, 0, TagContent, darter.Piece{Length: 5})[headerSize:]
	copy(value[len(value)-16:], bytes.Repeat([]byte{0xff}, 8))
	p, err := parseContent(value)
	require.NoError(t, err)
	require.Equal(t, time.Duration(math.MaxInt64/int64(time.Second))*time.Second, p.Cost)
}

func TestCRCText(t *testing.T) {
	for text, want := range map[string]struct {
		crc       uint32
		known, ok bool
	}{
		"":                 {0, false, true},
		"crc32:907060870":  {907060870, true, true},
		"crc32:4294967295": {4294967295, true, true},
		"crc32:4294967296": {},
		"crc32:":           {},
		"crc32:007":        {},
		"crc32:+7":         {},
		"crc32:36107cc6":   {},
		"sha256:00":        {0, false, true},
	} {
		crc, known, err := parseCRC(text)
		require.Equal(t, want.ok, err == nil, text)
		require.Equal(t, want.crc, crc, text)
		require.Equal(t, want.known, known, text)
	}
}

func TestFailureRoundTrip(t *testing.T) {
	frame := appendFailure(nil, 9, CodeNotFound, "no such piece")
	tag, length := parseHeader(frame)
	require.Equal(t, TagError, tag)
	require.Len(t, frame, headerSize+int(length))
	code, message, err := parseFailure(frame[headerSize:])
	require.NoError(t, err)
	require.Equal(t, CodeNotFound, code)
	require.Equal(t, "no such piece", message)

	long := appendFailure(nil, 0, CodeInternal, strings.Repeat("ä", maxFailure))
	_, _, err = parseFailure(long[headerSize:])
	require.NoError(t, err)
	_, _, err = parseFailure(nil)
	require.Error(t, err)
}

// What parses must print to the same bytes, as far as the format has one way to say a thing; what does
// not parse must only not panic.
func FuzzContent(f *testing.F) {
	f.Add(appendContent(nil, 1, TagContent, darter.Piece{Length: 5, CRC: 907060870, HasCRC: true})[headerSize:])
	f.Add(appendContent(nil, 1, TagContent, darter.Piece{Number: 9, Offset: 1 << 40, Length: 1, Parent: "x", Created: time.Unix(1, 0)})[headerSize:])
	f.Add([]byte{0, 0, 0, 45})
	f.Fuzz(func(t *testing.T, value []byte) {
		p, err := parseContent(value)
		if err != nil {
			return
		}
		back, err := parseContent(appendContent(nil, 0, TagContent, p)[headerSize:])
		if err != nil {
			t.Fatalf("%+v printed to what does not parse: %v", p, err)
		}
		p.Traffic = darter.FromPeer
		if back != p {
			t.Fatalf("%+v became %+v", p, back)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(appendRequest(nil, 0, request{task: taskA, number: 3})[headerSize:])
	f.Add(appendRequest(nil, 0, request{task: taskA, number: 3, relay: true, offset: 1 << 20, sole: true})[headerSize:])
	f.Add([]byte(strings.Repeat("A", requestSize)))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := parseRequest(value)
		if len(value) == relaySize { // flags that nobody knows are not kept
			value = append([]byte(nil), value...)
			value[relaySize-1] &= flagSole
		}
		if err == nil && !bytes.Equal(appendRequest(nil, 0, r)[headerSize:], value) {
			t.Fatalf("%+v does not print to what it was read from", r)
		}
	})
}

func FuzzFailure(f *testing.F) {
	f.Add(appendFailure(nil, 0, CodeNotFound, "gone")[headerSize:])
	f.Add([]byte{2, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, message, err := parseFailure(value); err == nil && !bytes.Equal([]byte(message), bytes.ToValidUTF8(value[1:], []byte("\uFFFD"))) {
			t.Fatalf("%q was read from %q", message, value)
		}
	})
}
