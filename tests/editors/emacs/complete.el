;;; complete.el --- what a user of eglot does, without a screen  -*- lexical-binding: t; -*-

;; The environment says which file is visited (MIDFILL_TEST_FILE) and what is loaded first
;; (MIDFILL_TEST_INIT). The buffer's text before and after completing is printed as JSON.

;;; Code:

(package-initialize)
(unless (require 'eglot nil t)
  (message "eglot is missing")
  (kill-emacs 77))
(require 'json)

(load (getenv "MIDFILL_TEST_INIT") nil t)

(setq eglot-sync-connect 30
      eglot-connect-timeout 30
      make-backup-files nil)

(defun midfill-test-text ()
  "Return the text of the buffer, without what Emacs knows of it."
  (buffer-substring-no-properties (point-min) (point-max)))

(find-file (getenv "MIDFILL_TEST_FILE"))
(call-interactively #'eglot)
(goto-char (point-max))
;; One key after the other, each a change of its own.
(dolist (key (append (getenv "MIDFILL_TEST_KEYS") nil))
  (insert key))
(let ((before (midfill-test-text)))
  (completion-at-point)
  (princ (json-encode `((before . ,before)
                        (after . ,(midfill-test-text))
                        (behind . ,(- (point-max) (point)))))))
(call-interactively #'eglot-shutdown)
(kill-emacs 0)

;;; complete.el ends here
