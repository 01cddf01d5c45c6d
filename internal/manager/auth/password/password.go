package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/darter-p2p/darter"
)

// Limits of passwords.
const (
	MinLength = 12  // characters
	MaxLength = 256 // characters; bounds what is hashed
)

// Config is what a hash costs. The defaults are OWASP's for argon2id.
type Config struct {
	Memory   uint32                     // KiB; default 19456
	Passes   uint32                     // default 2
	Slots    int                        // hashes at a time; default 2
	Wait     time.Duration              // longest wait for a slot; default 5 s
	Breached func(password string) bool // whether it is known to have leaked; may be nil
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Memory: 19 << 10, Passes: 2, Slots: 2, Wait: 5 * time.Second}
}

// Bounds of what a stored hash may ask for: whoever can write rows should not be able to exhaust memory.
const (
	maxMemory = 256 << 10
	maxPasses = 16
	saltSize  = 16
	hashSize  = 32
)

// Hasher hashes and verifies. It is safe for concurrent use.
type Hasher struct {
	cfg   Config
	slots chan struct{}
}

// New checks the configuration.
func New(cfg Config) (*Hasher, error) {
	if cfg.Memory < 8<<10 || cfg.Memory > maxMemory || cfg.Passes < 1 || cfg.Passes > maxPasses || cfg.Slots < 1 || cfg.Wait <= 0 {
		return nil, fmt.Errorf("password: memory between 8 MiB and 256 MiB, passes between 1 and %d, at least one slot and a wait are required", maxPasses)
	}
	return &Hasher{cfg: cfg, slots: make(chan struct{}, cfg.Slots)}, nil
}

// Check says why a password may not be chosen by the user of that name.
func (h *Hasher) Check(password, name string) error {
	fail := func(why string) error {
		return &darter.Error{Kind: darter.Invalid, Op: "choose password", Hint: "a few words together make a good one", Err: errors.New(why)}
	}
	length := utf8.RuneCountInString(password)
	lower := strings.ToLower(password)
	distinct := make(map[rune]bool)
	for _, r := range lower {
		if unicode.IsControl(r) {
			return fail("it has control characters")
		}
		distinct[r] = true
	}
	switch {
	case !utf8.ValidString(password):
		return fail("it is not text in UTF-8")
	case length < MinLength:
		return fail(fmt.Sprintf("it is shorter than %d characters", MinLength))
	case length > MaxLength:
		return fail(fmt.Sprintf("it is longer than %d characters", MaxLength))
	case strings.Trim(password, "0123456789 .:-/") == "":
		return fail("it is only a number")
	case len(distinct) < 5:
		return fail("it has fewer than five different characters")
	case len(name) >= 4 && strings.Contains(lower, strings.ToLower(name)):
		return fail("it contains the name")
	case h.cfg.Breached != nil && h.cfg.Breached(password):
		return fail("it is on a list of leaked passwords")
	}
	return nil
}

// Hash returns the password's hash in PHC form.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	p := params{memory: h.cfg.Memory, passes: h.cfg.Passes, lanes: 1, salt: salt}
	sum, err := h.work(ctx, password, p)
	if err != nil {
		return "", err
	}
	p.sum = sum
	return p.String(), nil
}

// Verify reports whether the password has that hash, and whether the hash should be made anew because costs
// have changed. An empty hash never matches, and takes as long. A hash that cannot be read is Corrupt.
func (h *Hasher) Verify(ctx context.Context, password, hash string) (match, outdated bool, err error) {
	known := hash != ""
	p := params{memory: h.cfg.Memory, passes: h.cfg.Passes, lanes: 1, salt: make([]byte, saltSize), sum: make([]byte, hashSize)}
	if known {
		if p, err = parse(hash); err != nil {
			return false, false, &darter.Error{Kind: darter.Corrupt, Op: "verify password", Hint: "set the user's password anew", Err: err}
		}
	}
	if utf8.RuneCountInString(password) > MaxLength {
		password = "" // of no user: Check refuses the empty one
		known = false
	}
	sum, err := h.work(ctx, password, p)
	if err != nil {
		return false, false, err
	}
	match = subtle.ConstantTimeCompare(sum, p.sum) == 1 && known
	return match, match && (p.memory != h.cfg.Memory || p.passes != h.cfg.Passes), nil
}

func (h *Hasher) work(ctx context.Context, password string, p params) ([]byte, error) {
	wait := time.NewTimer(h.cfg.Wait)
	defer wait.Stop()
	select {
	case h.slots <- struct{}{}:
	case <-wait.C:
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "hash password", Hint: "try again in a moment", Err: errors.New("too many sign-ins at once")}
	case <-ctx.Done():
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "hash password", Err: context.Cause(ctx)}
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, hashSize), nil
}

// params are what a PHC text says: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<sum>
type params struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func (p params) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.sum))
}

var errForm = errors.New("not an argon2id hash in PHC form within the limits")

func parse(text string) (params, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return params{}, errForm
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return params{}, errForm
	}
	m, errM := number(costs[0], "m=", maxMemory)
	t, errT := number(costs[1], "t=", maxPasses)
	l, errL := number(costs[2], "p=", 16)
	salt, errS := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, errH := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err := errors.Join(errM, errT, errL, errS, errH); err != nil || len(salt) < 8 || len(salt) > 64 || len(sum) != hashSize || m < 8*l {
		return params{}, errForm
	}
	return params{memory: m, passes: t, lanes: uint8(min(l, math.MaxUint8)), salt: salt, sum: sum}, nil
}

func number(text, prefix string, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < 1 || n > uint64(most) || strconv.FormatUint(n, 10) != digits {
		return 0, errForm
	}
	return uint32(n), nil
}
