package main

// The log: one line an event, in EMQX's "time [level] fields" form. Secrets are never given to it.

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

var logLevels = map[string]int{"debug": 0, "info": 1, "notice": 2, "warning": 3, "error": 4, "critical": 5, "alert": 6, "emergency": 7}

var logger = struct {
	mu      sync.Mutex
	out     io.Writer
	level   int
	console bool
}{out: os.Stderr, level: 3, console: true}

func logf(level, format string, args ...any) {
	if logLevels[level] < logger.level {
		return
	}
	logger.mu.Lock()
	defer logger.mu.Unlock()
	_, _ = fmt.Fprintf(logger.out, "%s [%s] %s\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), level, fmt.Sprintf(format, args...))
}

// announce is logged whatever the level is, on the console too: a person must see what runs here.
func announce(format string, args ...any) {
	logf("emergency", format, args...)
	if !logger.console {
		_, _ = fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// logToFile: log.file.default.enable, or what the unit's EMQX_DEFAULT_LOG_HANDLER says when the
// configuration is silent. The same variable turns the console off.
func logToFile(cfg *Config) bool {
	return cfg.Bool("log.file.default.enable", cfg.Bool("log.file.enable", os.Getenv("EMQX_DEFAULT_LOG_HANDLER") == "file"))
}

func logToConsole(cfg *Config) bool {
	return cfg.Bool("log.console.enable", os.Getenv("EMQX_DEFAULT_LOG_HANDLER") != "file")
}

// setupLog follows log.console and log.file.default.
func setupLog(cfg *Config) error {
	level := 7
	var outs []io.Writer
	if logToConsole(cfg) {
		outs = append(outs, os.Stderr)
		level = min(level, logLevels[cfg.Str("log.console.level", "warning")])
	}
	if logToFile(cfg) {
		path := cfg.expand(cfg.Str("log.file.default.path", cfg.Str("log.file.path", "${EMQX_LOG_DIR}/emqx.log")))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		outs = append(outs, f)
		level = min(level, logLevels[cfg.Str("log.file.default.level", cfg.Str("log.file.level", "warning"))])
	}
	logger.mu.Lock()
	defer logger.mu.Unlock()
	logger.out, logger.level, logger.console = io.MultiWriter(outs...), level, logToConsole(cfg)
	return nil
}
