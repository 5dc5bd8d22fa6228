"""What a child takes away from itself before it touches an upload: network, files, capabilities, resources.

Layers, each probed on the machine at hand:

======================  ==================================================================================
``bubblewrap``          where it works, the child starts inside it: processes and mounts of its own as well
``namespaces``          where it does not: own user, network, IPC, host name, mount and cgroup namespace
``landlock``            files: write in the job folder only, read in Python's, the packages' and the system's only
``seccomp``             system calls: no sockets, processes or programs, no mounts, tracing or kernel surface
``no_new_privileges``   no set-uid program gives anything back
``no_capabilities``     nothing of root's power is left, also where the worker runs as root
``read_only_inputs``    what the digests were checked of cannot be changed
``limits``              memory, address space, CPU time, file size, processes, open files, no core dump
``parent_death``        killed when the thread that started it ends
======================  ==================================================================================

A model is loaded only where the network is out of reach and files are fenced (:func:`require`). Everything but
bubblewrap is done by ``ctypes`` on Linux's own interface, so that a worker needs no package and no privilege for it.
"""

from workers.sandbox.cards import Card, Driver
from workers.sandbox.entering import Surroundings, enter
from workers.sandbox.layers import AUTO, BUBBLEWRAP, CHOICES, NAMESPACES, Layers, require
from workers.sandbox.probing import probe

__all__ = [
    "AUTO",
    "BUBBLEWRAP",
    "CHOICES",
    "NAMESPACES",
    "Card",
    "Driver",
    "Layers",
    "Surroundings",
    "enter",
    "probe",
    "require",
]
